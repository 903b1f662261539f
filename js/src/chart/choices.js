// What a policy says about one decision: its likeliest choice, and whether it has decided.

const UNDECIDED = 0.5; // entropy / log(choices) above it: as `decided` in `SearchResult.decisions`
const SAME = 1e-4; // probabilities that differ by less are equal

// Return { best, tied, decided } of probabilities. best: index of the likeliest choice. tied:
// whether another one is as likely. decided: whether the entropy is low enough.
export function decision(probabilities) {
  const most = Math.max(...probabilities), best = probabilities.indexOf(most);
  const tied = probabilities.filter((p) => p > most - SAME).length > 1;
  const entropy = probabilities.reduce((sum, p) => (p > 0 ? sum - p * Math.log(p) : sum), 0);
  const share = probabilities.length > 1 ? entropy / Math.log(probabilities.length) : 0;
  return { best, tied, decided: share <= UNDECIDED };
}

// Return "k5e6", "k5e6 (undecided)" or "undecided": no choice is named if several are as likely.
export function verdict(probabilities, choices) {
  const { best, tied, decided } = decision(probabilities);
  if (tied) return "undecided";
  return decided ? choices[best] : `${choices[best]} (undecided)`;
}
