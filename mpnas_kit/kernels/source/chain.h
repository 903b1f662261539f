// A chain: what the kernels compute in one piece. It is an inverted bottleneck, or a part of one.
//
// A chain has up to 3 units. Unit u convolves, normalises and activates:
//
//     h_u = W_u * a_(u-1)          W_u: a dense or depthwise convolution; a_(-1) = x, the input
//     z_u = scale_u h_u + shift_u  scale = gamma / sqrt(variance + eps), shift = beta - mean scale
//     a_u = act_u(z_u) gate_u      gate: squeeze-and-excite, if the unit has one
//     y   = a_last (+ x)           with a residual connection
//
// Mean and variance are those of h_u over all pixels of the images of a job.
//
// Python fills these structs as arrays of 64-bit numbers (`mpnas_kit/kernels/function.py`). Maps have
// the channels last. x, y and their gradients are float32 (images, height, width, channels) without
// padding; in all maps of the kernels' own the channels are padded to a multiple of GRAIN.
#pragma once
#include "depthwise.h"
#include "elements.h"
#include "product.h"

constexpr int UNITS = 3;

struct Weight {  // a weight (out, in, rows, columns), its gradient with the same steps, and its bias
    const float* at;
    int64_t out_step, in_step, row_step, column_step;
    float* gradient;  // null: not needed
    const float* bias;  // null: none
    float* bias_gradient;
};

struct Unit {
    int64_t depthwise, kernel, stride, same, in, out, activation, squeeze;  // squeeze: 0: no gate
    Weight weight, reduce, expand;  // reduce (squeeze, out) and expand (out, squeeze): of the gate
};

// Zeros of the padding before a map of this size, if `outputs` outputs come from it.
inline int64_t zeros_before(const Unit& u, int64_t size, int64_t outputs) {
    const int64_t zeros = (outputs - 1) * u.stride + u.kernel - size;
    return u.same ? most(0, zeros) / 2 : u.kernel / 2;
}

struct Recipe {  // what the jobs of one node have in common
    int64_t units, residual;
    float *packed, *packed_back;  // room for the weights in the order in which the passes need them
    Unit unit[UNITS];
};

struct Norm {  // of one unit of one job
    const float *gamma, *beta;
    const float *mean, *variance;  // fixed statistics; null: those of the job
    float *gamma_gradient, *beta_gradient;  // null: not needed
};

struct Job {  // the images of one domain at one node
    int64_t recipe, images, height, width;
    const float* x;
    float* y;
    const float* y_gradient;
    float* x_gradient;  // null: not needed
    float* saved;  // from the forward to the backward pass; null: no backward pass follows
    float* gradients;  // room for the gradients of the weights by this job
    Norm norm[UNITS];
};

// Places in a piece of memory, one after another. Without memory it only counts.
struct Room {
    float* at;
    int64_t taken = 0;
    float* take(int64_t count) {
        float* place = at ? at + taken : nullptr;
        taken += (count + 15) / 16 * 16;
        return place;
    }
};

// Weights of a unit as the passes read them.
struct Packed {
    float *weight;  // dense: packed matrix (inputs, out); depthwise: (taps, out)
    float *reduce, *reduce_bias, *expand, *expand_bias;  // packed (out, squeeze), (squeeze, out)
    Packed(const Unit& u, Room& room) {
        const int64_t taps = u.kernel * u.kernel, squeeze = padded(u.squeeze), out = padded(u.out);
        weight = room.take(taps * out * (u.depthwise ? 1 : u.in));
        reduce = room.take(u.out * squeeze), reduce_bias = room.take(squeeze);
        expand = room.take(u.squeeze * out), expand_bias = room.take(u.squeeze ? out : 0);
    }
};
struct PackedBack {
    float *weight;  // dense: packed matrix (out, inputs)
    float *reduce, *expand;  // packed (squeeze, out), (out, squeeze)
    PackedBack(const Unit& u, Room& room) {
        const int64_t inputs = padded(u.kernel * u.kernel * u.in);
        weight = room.take(u.depthwise ? 0 : u.out * inputs);
        reduce = room.take(u.squeeze * padded(u.out)), expand = room.take(u.out * padded(u.squeeze));
    }
};

inline Packed packed_of(const Recipe& recipe, int64_t u) {
    Room room = {recipe.packed};
    for (int64_t before = 0; before < u; before++) Packed(recipe.unit[before], room);
    return Packed(recipe.unit[u], room);
}
inline PackedBack packed_back_of(const Recipe& recipe, int64_t u) {
    Room room = {recipe.packed_back};
    for (int64_t before = 0; before < u; before++) PackedBack(recipe.unit[before], room);
    return PackedBack(recipe.unit[u], room);
}

// Gradients of the weights of a unit by one stripe of a job; those of norm and gate by the job.
struct Gradients {
    // Dense: (inputs, out) of the first unit, else (out, in), so that the lanes are those of the map
    // that is padded. Depthwise: (taps, out).
    float* weight;
    float *gamma, *beta, *reduce, *reduce_bias, *expand, *expand_bias;
    int64_t rows, columns;  // of a stripe of `weight`
    Gradients(const Unit& u, bool first, int64_t stripes, Room& room) {
        const int64_t taps = u.kernel * u.kernel, squeeze = padded(u.squeeze), out = padded(u.out);
        rows = u.depthwise ? taps : first ? taps * u.in : u.out;
        columns = u.depthwise || first ? out : padded(u.in);
        weight = room.take(stripes * rows * columns);
        gamma = room.take(out), beta = room.take(out);
        reduce = room.take(u.squeeze * out), reduce_bias = room.take(squeeze);
        expand = room.take(u.squeeze ? u.out * squeeze : 0);
        expand_bias = room.take(u.squeeze ? out : 0);
    }
};

// One unit of one job: sizes and places.
struct Step {
    const Unit* unit;
    const Norm* norm;
    Shape shape;  // of the convolution
    int64_t in, out, squeeze;  // channels, padded; those of `unit` are not
    float *h, *mean, *inverse, *scale, *shift;  // inverse: 1 / sqrt(variance + eps)
    float *pooled, *squeezed, *gate;  // of every image
    int64_t pixels() const { return shape.rows * shape.columns; }
    int64_t most_pixels() const { return most(pixels(), shape.height * shape.width); }
    bool dense() const { return !unit->depthwise; }
    // A dense convolution whose inputs are the channels of one pixel.
    bool pointwise() const { return unit->kernel == 1 && unit->stride == 1; }
    int64_t inputs() const { return unit->kernel * unit->kernel * unit->in; }
};

constexpr int64_t CHUNK = 128;  // pixels whose activations lie in a thread's own memory at once
constexpr int64_t BLOCK_PIXELS = 1024;  // least pixels of a block of images, if there are so many
constexpr int64_t STRIPES = 8;  // most parts of a job that have their own sums of weight gradients

struct Chain {
    const Job* job;
    const Recipe* recipe;
    int64_t units, block_images, blocks, stripes;
    Step step[UNITS];
    float* partial;  // two sums per channel and block
    float *means, *products;  // per channel of the current unit: mean of g, mean of g (h - mean) / var
    float* gradient[2];  // dL/dz of the current unit and of the one before
    // Gradients inside the gate, of every image: of its two products, and of the pooled map.
    float *reduce_gradient, *expand_gradient, *pooled_gradient;

    // saved: maps and statistics. slot: memory that only this job uses while it runs.
    Chain(const Job& j, const Recipe& r, Room& saved, Room& slot, bool back)
        : job(&j), recipe(&r), units(r.units) {
        block_images = most(1, BLOCK_PIXELS / (j.height * j.width));
        blocks = (j.images + block_images - 1) / block_images;
        stripes = least(blocks, STRIPES);
        int64_t height = j.height, width = j.width, largest = 0, channels = 0, squeezed = 0;
        for (int64_t i = 0; i < units; i++) {
            const Unit& u = recipe->unit[i];
            Step& s = step[i];
            const int64_t rows = (height - 1) / u.stride + 1, columns = (width - 1) / u.stride + 1;
            s.unit = &u, s.norm = &j.norm[i];
            s.shape = {u.kernel, u.stride, height, width, rows, columns,
                       zeros_before(u, height, rows), zeros_before(u, width, columns)};
            s.in = padded(u.in), s.out = padded(u.out), s.squeeze = padded(u.squeeze);
            s.h = saved.take(j.images * rows * columns * s.out);
            s.mean = saved.take(s.out), s.inverse = saved.take(s.out);
            s.scale = saved.take(s.out), s.shift = saved.take(s.out);
            s.pooled = saved.take(u.squeeze ? j.images * s.out : 0);
            s.gate = saved.take(u.squeeze ? j.images * s.out : 0);
            s.squeezed = saved.take(j.images * s.squeeze);
            largest = most(largest, j.images * rows * columns * s.out);
            channels = most(channels, s.out), squeezed = most(squeezed, s.squeeze);
            height = rows, width = columns;
        }
        partial = slot.take(2 * blocks * channels);
        means = slot.take(back ? channels : 0), products = slot.take(back ? channels : 0);
        for (float*& g : gradient) g = slot.take(back ? largest : 0);
        reduce_gradient = slot.take(back ? j.images * squeezed : 0);
        expand_gradient = slot.take(back && squeezed ? j.images * channels : 0);
        pooled_gradient = slot.take(back && squeezed ? j.images * channels : 0);
    }

    int64_t first_image(int64_t block) const { return block * block_images; }
    int64_t end_image(int64_t block) const {
        return least(first_image(block) + block_images, job->images);
    }
    // Stripe s has the blocks from first_block(s) to first_block(s + 1).
    int64_t first_block(int64_t stripe) const { return stripe * blocks / stripes; }

    // Memory of a thread. Dense units need a chunk of inputs (activations or patches) and one of
    // gradients; depthwise units need two planes and two images of gradients.
    int64_t tile_floats() const {
        int64_t floats = 0;
        for (int64_t i = 0; i < units; i++) {
            const Step& s = step[i];
            floats = most(floats, s.dense() ? CHUNK * (2 * padded(s.inputs()) + s.out)
                                            : LANES * 2 * (s.shape.plane_pixels() + s.most_pixels()));
        }
        return floats;
    }
};
