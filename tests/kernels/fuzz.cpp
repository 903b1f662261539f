// Random chains and jobs for the kernels. A sanitizer or valgrind watches the memory.
//
//     fuzz SEED CASES [raw]
//
// Every buffer has exactly the size that the kernels are promised, and any alignment that a float may
// have. Memory that the kernels must write before they read it is filled with poison, which differs
// between the runs of a case; `raw` leaves it as it is, for valgrind. Weights that the recipe does not
// use are poison too. Checked: outputs and gradients have the same bits for every poison and number
// of threads, with or without memory for a backward pass, and with fixed statistics for every image
// alone; and gradients of weights that the recipe does not use stay as they are.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "chain.h"

extern "C" {
void mpnas_kernels_room(const Recipe*, const Job*, int64_t*);
void mpnas_kernels_forward(const Recipe*, int64_t, const Job*, int64_t, int64_t, float*, int64_t,
                           int64_t, int64_t, double);
void mpnas_kernels_backward(const Recipe*, int64_t, const Job*, int64_t, int64_t, float*, int64_t,
                            int64_t);
}

namespace {

constexpr double EPS = 1e-5;
constexpr float UNTOUCHED = 7;  // gradient of a weight that the recipe does not use
bool raw = false;

struct Random {  // SplitMix64 (Steele, Lea and Flood 2014)
    uint64_t state;
    uint64_t bits() {
        uint64_t z = state += 0x9e3779b97f4a7c15;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        return z ^ z >> 31;
    }
    int64_t between(int64_t least, int64_t most) {
        return least + (int64_t)(bits() % (uint64_t)(most - least + 1));
    }
    bool chance(int64_t percent) { return between(1, 100) <= percent; }
    template <class T>
    T one_of(std::initializer_list<T> values) {
        return values.begin()[between(0, (int64_t)values.size() - 1)];
    }
    float value() { return (float)between(-1000, 1000) / 500; }
};

// Floats that end where the memory ends. `at` is aligned to a float only.
struct Buffer {
    std::unique_ptr<float[]> memory;
    float* at;
    int64_t size;
    Buffer(Random& random, int64_t count) : size(count) {
        const int64_t offset = random.between(0, 15);
        memory.reset(new float[offset + count]);
        at = memory.get() + offset;
    }
    void fill(float value) { std::fill(at, at + size, value); }
};

// A weight and its gradient, in a tensor that may be larger than what the recipe uses.
struct Parameter {
    Buffer values, gradient;
    std::vector<bool> used;
    Weight weight = {};
};

struct Case {
    Random random;
    bool special;  // whether some values are infinite or NaN
    std::vector<std::unique_ptr<Parameter>> parameters;
    std::vector<std::unique_ptr<Buffer>> buffers;
    std::vector<Recipe> recipes;
    std::vector<Job> jobs;

    explicit Case(uint64_t seed) : random{seed}, special(random.chance(10)) {
        for (int64_t i = random.between(1, 3); i > 0; i--) recipes.push_back(recipe());
        for (int64_t i = random.between(1, 5); i > 0; i--) jobs.push_back(job());
    }

    float value() {
        if (special && random.chance(1)) return random.one_of({NAN, INFINITY, -INFINITY});
        return random.chance(5) ? 0.0f : random.value();
    }
    float* values(int64_t count) {
        buffers.push_back(std::make_unique<Buffer>(random, count));
        for (int64_t i = 0; i < count; i++) buffers.back()->at[i] = value();
        return buffers.back()->at;
    }

    Weight parameter(int64_t out, int64_t in, int64_t kernel, bool bias) {
        const bool larger = random.chance(30), last = random.chance(50);
        const int64_t outs = out + (larger ? random.between(0, 9) : 0);
        const int64_t ins = in + (larger && in > 1 ? random.between(0, 9) : 0);
        const int64_t edge = larger ? random.between(0, 1) : 0, wide = kernel + 2 * edge;
        const int64_t size = outs * ins * wide * wide;
        parameters.push_back(std::make_unique<Parameter>(
            Parameter{Buffer(random, size), Buffer(random, size), std::vector<bool>(size)}));
        Parameter& p = *parameters.back();
        Weight& w = p.weight;
        w.out_step = ins * wide * wide;
        w.in_step = last ? 1 : wide * wide;
        w.row_step = last ? wide * ins : wide, w.column_step = last ? ins : 1;
        const int64_t corner = edge * (w.row_step + w.column_step);
        p.values.fill(NAN), p.gradient.fill(UNTOUCHED);
        for (int64_t o = 0; o < out; o++)
            for (int64_t i = 0; i < in; i++)
                for (int64_t tap = 0; tap < kernel * kernel; tap++) {
                    const int64_t place = corner + o * w.out_step + i * w.in_step +
                                          tap / kernel * w.row_step + tap % kernel * w.column_step;
                    p.values.at[place] = value(), p.used[place] = true;
                }
        w.at = p.values.at + corner;
        if (random.chance(90)) w.gradient = p.gradient.at + corner;
        if (bias) {
            w.bias = values(out);
            if (random.chance(90)) w.bias_gradient = values(out);
        }
        return w;
    }

    Recipe recipe() {
        Recipe r = {};
        r.units = random.between(1, UNITS);
        int64_t channels = random.between(1, 40);
        const int64_t first = channels;
        bool stays = true;
        for (int64_t u = 0; u < r.units; u++) {
            Unit& unit = r.unit[u];
            unit.depthwise = random.chance(50);
            const bool pointwise = u > 0 && !unit.depthwise;
            unit.kernel = pointwise ? 1 : random.one_of<int64_t>({1, 3, 3, 5, 7, 9});
            unit.stride = pointwise ? 1 : random.one_of<int64_t>({1, 1, 2, 3});
            unit.same = random.chance(40);
            unit.in = channels;
            unit.out = unit.depthwise ? channels : random.between(1, 40);
            if (u + 1 == r.units && random.chance(50) && !unit.depthwise) unit.out = first;
            unit.activation = random.between(0, 3);
            unit.squeeze = u + 1 < r.units && random.chance(40) ? random.between(1, 20) : 0;
            unit.weight =
                parameter(unit.out, unit.depthwise ? 1 : unit.in, unit.kernel, false);
            if (unit.squeeze) {
                unit.reduce = parameter(unit.squeeze, unit.out, 1, true);
                unit.expand = parameter(unit.out, unit.squeeze, 1, true);
            }
            channels = unit.out, stays = stays && unit.stride == 1;
        }
        r.residual = stays && channels == first && random.chance(70);
        return r;
    }

    Job job() {
        Job j = {};
        j.recipe = random.between(0, (int64_t)recipes.size() - 1);
        const Recipe& r = recipes[j.recipe];
        const bool many = random.chance(5);  // more blocks than stripes
        j.images = many ? random.between(9, 24) : random.between(1, 9);
        j.height = many ? random.between(22, 32) : random.between(1, 13);
        j.width = many ? random.between(22, 32) : random.between(1, 17);
        j.x = values(j.images * j.height * j.width * r.unit[0].in);
        for (int64_t u = 0; u < r.units; u++) {
            const int64_t out = r.unit[u].out;
            Norm& n = j.norm[u];
            n.gamma = values(out), n.beta = values(out), n.mean = values(out);
            float* variance = values(out);
            for (int64_t c = 0; c < out; c++) variance[c] = std::fabs(variance[c]);
            n.variance = variance;
            if (random.chance(90)) n.gamma_gradient = values(out);
            if (random.chance(90)) n.beta_gradient = values(out);
        }
        return j;
    }
};

// Memory of one run; the kernels find `poison` in it.
struct Scratch {
    Random& random;
    float poison;
    std::vector<std::unique_ptr<Buffer>> buffers;
    float* floats(int64_t count) {
        buffers.push_back(std::make_unique<Buffer>(random, count));
        if (!raw) buffers.back()->fill(poison);
        return buffers.back()->at;
    }
};

int64_t pixels_after(const Recipe& r, const Job& j) {
    int64_t height = j.height, width = j.width;
    for (int64_t u = 0; u < r.units; u++) {
        height = (height - 1) / r.unit[u].stride + 1;
        width = (width - 1) / r.unit[u].stride + 1;
    }
    return height * width;
}

struct Room6 {
    int64_t packed, packed_back, saved, gradients, slot, tile;
};

Room6 room_of(const Recipe& recipe, Job job) {
    Room6 room;
    job.recipe = 0;
    mpnas_kernels_room(&recipe, &job, &room.packed);
    return room;
}

using Results = std::vector<float>;
void add(Results& results, const float* from, int64_t count) {
    results.insert(results.end(), from, from + count);
}

// Run all jobs and return outputs, gradients of inputs, and gradients of parameters.
Results run(Case& c, std::vector<Job> jobs, int64_t threads, float poison, bool fixed, bool back,
            Results* gradients) {
    Scratch scratch = {c.random, poison, {}};
    std::vector<Recipe> recipes = c.recipes;
    int64_t slot = 0, tile = 0;
    std::vector<int64_t> outputs, inputs;
    for (Recipe& r : recipes) {
        Job any = {};
        any.images = any.height = any.width = 1;
        const Room6 room = room_of(r, any);
        r.packed = scratch.floats(room.packed);
        if (back) r.packed_back = scratch.floats(room.packed_back);
    }
    for (Job& j : jobs) {
        const Recipe& r = recipes[j.recipe];
        const Room6 room = room_of(r, j);
        outputs.push_back(j.images * pixels_after(r, j) * r.unit[r.units - 1].out);
        inputs.push_back(j.images * j.height * j.width * r.unit[0].in);
        if (!j.y) j.y = scratch.floats(outputs.back());
        slot = most(slot, room.slot + (back ? 0 : room.saved)), tile = most(tile, room.tile);
        for (int64_t u = 0; u < r.units && !fixed; u++) j.norm[u].mean = j.norm[u].variance = nullptr;
        if (back) j.saved = scratch.floats(room.saved);
    }
    float* memory = scratch.floats(threads * (slot + tile));
    mpnas_kernels_forward(recipes.data(), (int64_t)recipes.size(), jobs.data(), (int64_t)jobs.size(),
                          threads, memory, tile, slot, fixed, EPS);
    Results results;
    for (size_t i = 0; i < jobs.size(); i++) add(results, jobs[i].y, outputs[i]);
    if (!back) return results;

    slot = 0;
    std::vector<std::pair<float*, int64_t>> small;  // gradients of biases and norms
    for (Recipe& r : recipes)
        for (int64_t u = 0; u < r.units; u++) {
            Unit& unit = r.unit[u];
            for (Weight* w : {&unit.reduce, &unit.expand})
                if (w->bias_gradient) {
                    const int64_t count = w == &unit.reduce ? unit.squeeze : unit.out;
                    w->bias_gradient = scratch.floats(count);
                    small.push_back({w->bias_gradient, count});
                }
        }
    for (size_t i = 0; i < jobs.size(); i++) {
        Job& j = jobs[i];
        const Recipe& r = recipes[j.recipe];
        const Room6 room = room_of(r, j);
        j.gradients = scratch.floats(room.gradients), slot = most(slot, room.slot);
        float* dy = scratch.floats(outputs[i]);
        Random same = {i};  // the same gradients in every run
        for (int64_t k = 0; k < outputs[i]; k++) dy[k] = same.value();
        j.y_gradient = dy;
        if (i % 3 != 2) j.x_gradient = scratch.floats(inputs[i]);
        for (int64_t u = 0; u < r.units; u++)
            for (float** g : {&j.norm[u].gamma_gradient, &j.norm[u].beta_gradient})
                if (*g) {
                    *g = scratch.floats(r.unit[u].out);
                    small.push_back({*g, r.unit[u].out});
                }
    }
    for (auto [at, count] : small) std::fill(at, at + count, 0.0f);
    for (auto& p : c.parameters)
        for (int64_t i = 0; i < p->gradient.size; i++)
            p->gradient.at[i] = p->used[i] ? 0.0f : UNTOUCHED;
    memory = scratch.floats(threads * (slot + tile));
    mpnas_kernels_backward(recipes.data(), (int64_t)recipes.size(), jobs.data(),
                           (int64_t)jobs.size(), threads, memory, tile, slot);
    for (size_t i = 0; i < jobs.size(); i++)
        if (jobs[i].x_gradient) add(*gradients, jobs[i].x_gradient, inputs[i]);
    for (auto [at, count] : small) add(*gradients, at, count);
    for (auto& p : c.parameters)
        for (int64_t i = 0; i < p->gradient.size; i++) {
            gradients->push_back(p->gradient.at[i]);
            if (p->used[i] || p->gradient.at[i] == UNTOUCHED) continue;
            std::printf("a weight outside the recipe has a gradient\n");
            std::exit(1);
        }
    return results;
}

void require_same(const Results& one, const Results& other, const char* what, uint64_t seed) {
    bool same = one.size() == other.size();
    for (size_t i = 0; same && i < one.size(); i++)
        same = std::memcmp(&one[i], &other[i], sizeof(float)) == 0 ||
               (std::isnan(one[i]) && std::isnan(other[i]));
    if (same) return;
    std::printf("seed %llu: %s differ\n", (unsigned long long)seed, what);
    std::exit(1);
}

void fuzz(uint64_t seed) {
    Case c(seed);
    Results gradients, again;
    const int64_t threads = c.random.between(1, 4);
    const Results y = run(c, c.jobs, 1, NAN, false, true, &gradients);
    require_same(y, run(c, c.jobs, threads, 1e30f, false, true, &again), "outputs", seed);
    require_same(gradients, again, "gradients", seed);
    require_same(y, run(c, c.jobs, threads, -3, false, false, nullptr), "outputs alone", seed);

    const Results fixed = run(c, c.jobs, threads, NAN, true, false, nullptr);
    std::vector<Job> single;
    for (const Job& j : c.jobs)
        for (int64_t i = 0; i < j.images; i++) {
            Job one = j;
            one.images = 1;
            one.x += i * j.height * j.width * c.recipes[j.recipe].unit[0].in;
            single.push_back(one);
        }
    require_same(fixed, run(c, single, 1, 1e30f, true, false, nullptr), "outputs of images", seed);
}

}  // namespace

int main(int count, char** arguments) {
    if (count < 3) return 2;
    const uint64_t first = std::strtoull(arguments[1], nullptr, 10);
    const uint64_t cases = std::strtoull(arguments[2], nullptr, 10);
    raw = count > 3;
    for (uint64_t seed = first; seed < first + cases; seed++) fuzz(seed);
    std::printf("%llu cases\n", (unsigned long long)cases);
}
