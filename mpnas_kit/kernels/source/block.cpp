// Kernels of the blocks that paths consist of: forward and backward pass, for many jobs in one call.
//
// A job is the images of one domain at one node. Jobs are independent. If there are at least as many
// jobs as threads, each thread takes whole jobs; else all threads share each job, block by block of
// images. Sums are always taken in the same order, so the result does not depend on the threads.
//
// The file is compiled without any header of torch or Python; `mpnas_kit/kernels` calls it.
#include "backward.h"

#ifdef _OPENMP
extern "C" int omp_get_thread_num();
static int64_t thread_number() { return omp_get_thread_num(); }
#else
static int64_t thread_number() { return 0; }
#endif

namespace {

// Call f(i) for i from 0 to count: by all threads of a team, or by this thread alone.
template <class F>
void each(bool team, int64_t count, F f) {
    if (!team) {
        for (int64_t i = 0; i < count; i++) f(i);
        return;
    }
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < count; i++) f(i);
}

struct Memory {  // of the threads: a tile for each, and then a slot for each
    float* at;
    int64_t tile_floats, slot_floats, threads;
    float* tile() const { return at + thread_number() * tile_floats; }
    Room slot(int64_t number) const {
        return {at + threads * tile_floats + number * slot_floats};
    }
};

void forward(const Chain& chain, bool team, const Memory& memory, bool fixed, double eps) {
    for (int64_t u = 0; u < chain.units; u++) {
        if (fixed) each(team, 1, [&](int64_t) { fixed_norm(chain.step[u], eps); });
        each(team, chain.blocks, [&](int64_t block) {
            forward_unit(chain, u, block, memory.tile(), fixed);
        });
        if (!fixed) each(team, 1, [&](int64_t) { batch_norm(chain, u, eps); });
    }
    each(team, chain.blocks, [&](int64_t block) { forward_output(chain, block); });
}

void backward(const Chain& chain, bool team, const Memory& memory) {
    each(team, chain.blocks, [&](int64_t block) { backward_output(chain, block); });
    for (int64_t u = chain.units - 1; u >= 0; u--) {
        each(team, 1, [&](int64_t) {
            backward_norm(chain, u);
            if (chain.step[u].squeeze) gate_gradient(chain, u);
        });
        each(team, chain.stripes,
             [&](int64_t stripe) { backward_stripe(chain, u, stripe, memory.tile()); });
        each(team, 1, [&](int64_t) { add_stripes(chain, u); });
    }
}

// Multiply-adds of a job, to compare it with others.
int64_t work(const Job& job, const Recipe& recipe) {
    int64_t height = job.height, width = job.width, sum = 0;
    for (int64_t i = 0; i < recipe.units; i++) {
        const Unit& u = recipe.unit[i];
        height = (height - 1) / u.stride + 1, width = (width - 1) / u.stride + 1;
        sum += height * width * u.out * u.kernel * u.kernel * (u.depthwise ? 1 : u.in);
    }
    return sum * job.images;
}

// Call pack(recipe) for all recipes, and then f(job, team, slot) for all jobs. Large jobs come
// first, so that at the end no thread waits long for another one.
template <class P, class F>
void run(const Recipe* recipes, int64_t recipe_count, P pack, const Job* jobs, int64_t job_count,
         const Memory& memory, F f) {
    constexpr int64_t MOST = 256;  // more jobs are well divided in any order
    int64_t order[MOST], cost[MOST];
    const bool sorted = job_count <= MOST && memory.threads > 1;
    for (int64_t i = 0; sorted && i < job_count; i++) {
        const int64_t own = work(jobs[i], recipes[jobs[i].recipe]);
        int64_t at = i;
        for (; at > 0 && cost[at - 1] < own; at--)
            cost[at] = cost[at - 1], order[at] = order[at - 1];
        cost[at] = own, order[at] = i;
    }
#pragma omp parallel num_threads(memory.threads)
    {
        each(true, recipe_count, [&](int64_t i) { pack(recipes[i]); });
        if (job_count < memory.threads)
            for (int64_t i = 0; i < job_count; i++) f(i, true, memory.slot(0));
        else
            each(true, job_count, [&](int64_t i) {
                f(sorted ? order[i] : i, false, memory.slot(thread_number()));
            });
    }
}

// The weights of a unit with all inputs of one output side by side: input (ky, kx, channel).
struct Inputs {
    const Unit& unit;
    int64_t tap(int64_t number) const {
        return number / unit.kernel * unit.weight.row_step +
               number % unit.kernel * unit.weight.column_step;
    }
    int64_t operator()(int64_t input) const {
        if (unit.kernel == 1) return input * unit.weight.in_step;
        return tap(input / unit.in) + input % unit.in * unit.weight.in_step;
    }
};

// Pack a matrix (out, in) of the gate: as it is, or transposed.
void pack_gate(float* b, const Weight& w, int64_t rows, int64_t columns, bool transposed) {
    const int64_t row = transposed ? w.in_step : w.out_step;
    const int64_t column = transposed ? w.out_step : w.in_step;
    pack(b, rows, columns, [&](int64_t k) { return w.at + k * row; },
         [&](int64_t n) { return n * column; });
}

void copy_padded(float* to, const float* from, int64_t count) {
    for (int64_t c = 0; c < padded(count); c++) to[c] = c < count ? from[c] : 0.0f;
}

void pack_forward(const Recipe& recipe) {
    Room room = {recipe.packed};
    for (int64_t i = 0; i < recipe.units; i++) {
        const Unit& u = recipe.unit[i];
        const Packed to(u, room);
        const Inputs input = {u};
        const Weight& w = u.weight;
        if (u.depthwise)
            for (int64_t tap = 0; tap < u.kernel * u.kernel; tap++)
                for (int64_t c = 0; c < padded(u.out); c++)
                    to.weight[tap * padded(u.out) + c] =
                        c < u.out ? w.at[input.tap(tap) + c * w.out_step] : 0.0f;
        else
            pack(to.weight, u.kernel * u.kernel * u.in, u.out,
                 [&](int64_t k) { return w.at + input(k); },
                 [&](int64_t n) { return n * w.out_step; });
        if (!u.squeeze) continue;
        pack_gate(to.reduce, u.reduce, u.out, u.squeeze, true);
        pack_gate(to.expand, u.expand, u.squeeze, u.out, true);
        copy_padded(to.reduce_bias, u.reduce.bias, u.squeeze);
        copy_padded(to.expand_bias, u.expand.bias, u.out);
    }
}

void pack_backward(const Recipe& recipe) {
    Room room = {recipe.packed_back};
    for (int64_t i = 0; i < recipe.units; i++) {
        const Unit& u = recipe.unit[i];
        const PackedBack to(u, room);
        if (!u.depthwise)
            pack(to.weight, u.out, u.kernel * u.kernel * u.in,
                 [&](int64_t k) { return u.weight.at + k * u.weight.out_step; }, Inputs{u});
        if (!u.squeeze) continue;
        pack_gate(to.reduce, u.reduce, u.squeeze, u.out, false);
        pack_gate(to.expand, u.expand, u.out, u.squeeze, false);
    }
}

}  // namespace

extern "C" {

// Number of this interface. Python refuses a library with another one.
int64_t mpnas_kernels_abi() { return 2; }

// Floats that a job needs, in this order: packed, packed_back, saved, gradients, slot and tile. The
// slot is that of the backward pass; of a forward pass without one it must also hold `saved`.
void mpnas_kernels_room(const Recipe* recipe, const Job* job, int64_t* floats) {
    Room packed = {}, back = {}, saved = {}, gradients = {}, slot = {};
    for (int64_t u = 0; u < recipe->units; u++) {
        Packed(recipe->unit[u], packed);
        PackedBack(recipe->unit[u], back);
    }
    const Chain chain(*job, *recipe, saved, slot, true);
    for (int64_t u = 0; u < recipe->units; u++)
        Gradients(recipe->unit[u], u == 0, chain.stripes, gradients);
    const int64_t found[] = {packed.taken,    back.taken, saved.taken,
                             gradients.taken, slot.taken, chain.tile_floats()};
    for (int i = 0; i < 6; i++) floats[i] = found[i];
}

// The forward pass. With `fixed`, all norms have fixed statistics, and no backward pass may follow.
void mpnas_kernels_forward(const Recipe* recipes, int64_t recipe_count, const Job* jobs,
                           int64_t job_count, int64_t threads, float* memory,
                           int64_t tile_floats, int64_t slot_floats, int64_t fixed, double eps) {
    const Memory m = {memory, tile_floats, slot_floats, threads};
    auto job = [&](int64_t i, bool team, Room slot) {
        Room saved = {jobs[i].saved};
        const Recipe& recipe = recipes[jobs[i].recipe];
        const Chain chain(jobs[i], recipe, jobs[i].saved ? saved : slot, slot, false);
        forward(chain, team, m, fixed, eps);
    };
    run(recipes, recipe_count, pack_forward, jobs, job_count, m, job);
}

// The backward pass. Adds to the gradients that recipes and jobs name.
void mpnas_kernels_backward(const Recipe* recipes, int64_t recipe_count, const Job* jobs,
                            int64_t job_count, int64_t threads, float* memory,
                            int64_t tile_floats, int64_t slot_floats) {
    const Memory m = {memory, tile_floats, slot_floats, threads};
    auto job = [&](int64_t i, bool team, Room slot) {
        Room saved = {jobs[i].saved};
        backward(Chain(jobs[i], recipes[jobs[i].recipe], saved, slot, true), team, m);
    };
    run(recipes, recipe_count, pack_backward, jobs, job_count, m, job);
    for (int64_t i = 0; i < job_count; i++) {
        Room saved = {jobs[i].saved}, slot = m.slot(0);
        add_gradients(Chain(jobs[i], recipes[jobs[i].recipe], saved, slot, true));
    }
}
}
