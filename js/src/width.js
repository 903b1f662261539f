// The width that a view has in its page.

const UNKNOWN = 760; // pixels, until the view is in a page

// Call draw(width) now, and when the width of a node changes. Return a function that ends it.
export function followWidth(node, draw) {
  let last = Math.round(node.clientWidth) || UNKNOWN;
  draw(last);
  const seen = new ResizeObserver(() => {
    const width = Math.round(node.clientWidth);
    if (width && width !== last) draw((last = width));
  });
  seen.observe(node);
  return () => seen.disconnect();
}
