// Backward pass of a chain, from the last unit to the first. For each unit, d_ means dL/d:
//
//     d_z  = d_a act'(z)                                     (and through the gate)
//     beta' = sum d_z        gamma' = sum d_z (h - mean) inverse
//     d_h  = scale (d_z - mean of d_z - (h - mean) inverse^2 mean of (d_z (h - mean)))
//     W'   = sum over pixels of d_h a_before
//     d_a_before = W^T d_h
#pragma once
#include "forward.h"

inline void clear_matrix(Matrix m, int64_t rows, int64_t columns) {
    for (int64_t row = 0; row < rows; row++)
        for (int64_t c = 0; c < columns; c++) m.at[row * m.step + c] = 0.0f;
}

inline float* gradient_of(const Chain& chain, int64_t u) { return chain.gradient[u & 1]; }

inline Gradients gradients_of(const Chain& chain, int64_t u) {
    Room room = {chain.job->gradients};
    for (int64_t before = 0; before < u; before++)
        Gradients(*chain.step[before].unit, before == 0, chain.stripes, room);
    return Gradients(*chain.step[u].unit, u == 0, chain.stripes, room);
}

// Gradients inside the gate of unit u, for a block of images; d: dL/d(a gate).
inline void backward_gates(const Chain& chain, int64_t u, int64_t block, const float* d) {
    const Step& s = chain.step[u];
    const PackedBack packed = packed_back_of(*chain.recipe, u);
    const int64_t first = chain.first_image(block), images = chain.end_image(block) - first;
    float* expand = chain.expand_gradient + first * s.out;
    float* reduce = chain.reduce_gradient + first * s.squeeze;
    for (int64_t i = 0; i < images; i++)
        over_channels(0, s.out, [&](int64_t c, auto width) {
            constexpr int N = width.lanes;
            const Vec<N> sum = sum_over_image<N>(s, first + i, c, [&](int64_t row, Vec<N> a) {
                return a * load<N>(d + row * s.out + c);
            });
            const Vec<N> gate = load<N>(s.gate + (first + i) * s.out + c);
            store<N>(expand + i * s.out + c, HardSigmoid::back<N>(gate, sum));
        });
    product(images, s.unit->out, s.squeeze, {expand, s.out}, packed.expand, {reduce, s.squeeze});
    for (int64_t i = 0; i < images; i++)
        over_channels(0, s.squeeze, [&](int64_t c, auto width) {
            constexpr int N = width.lanes;
            float* at = reduce + i * s.squeeze + c;
            const Vec<N> squeezed = load<N>(s.squeezed + (first + i) * s.squeeze + c);
            store<N>(at, Relu::back<N>(squeezed, load<N>(at)));
        });
    product(images, s.unit->squeeze, s.out, {reduce, s.squeeze}, packed.reduce,
            {chain.pooled_gradient + first * s.out, s.out});
}

// d_z from d_a, in place, for a run of rows of a block and N channels from c. Its two sums,
// of d_z and of d_z (h - mean), are added to those of the block.
template <int N>
inline void backward_activation(const Chain& chain, int64_t u, int64_t block, int64_t first,
                                int64_t end, int64_t c) {
    const Step& s = chain.step[u];
    float *d = gradient_of(chain, u), *partial = chain.partial + 2 * block * s.out + c;
    const Vec<N> scale = load<N>(s.scale + c), shift = load<N>(s.shift + c);
    const Vec<N> mean = load<N>(s.mean + c);
    Vec<N> sum = {}, products = {};
    with_activation(s.unit->activation, [&](auto act) {
        for (int64_t row = first; row < end; row++) {
            float* at = d + row * s.out + c;
            const Vec<N> h = load<N>(s.h + row * s.out + c);
            Vec<N> g = load<N>(at);
            if (s.squeeze) {
                const int64_t image = row / s.pixels() * s.out + c;
                g = g * load<N>(s.gate + image) +
                    load<N>(chain.pooled_gradient + image) / (float)s.pixels();
            }
            g = act.template back<N>(h * scale + shift, g);
            store<N>(at, g);
            sum += g;
            products += g * (h - mean);
        }
    });
    if (first > chain.first_image(block) * s.pixels())
        sum += load<N>(partial), products += load<N>(partial + s.out);
    store<N>(partial, sum);
    store<N>(partial + s.out, products);
}

// The same for all channels of some rows.
inline void backward_rows(const Chain& chain, int64_t u, int64_t block, int64_t first,
                          int64_t end) {
    over_runs(first, end, [&](int64_t from, int64_t to) {
        over_channels(0, chain.step[u].out, [&](int64_t c, auto width) {
            constexpr int N = width.lanes;
            backward_activation<N>(chain, u, block, from, to, c);
        });
    });
}

// The same for a block, through the gate if the unit has one.
inline void backward_block(const Chain& chain, int64_t u, int64_t block) {
    const Step& s = chain.step[u];
    if (s.squeeze) backward_gates(chain, u, block, gradient_of(chain, u));
    backward_rows(chain, u, block, chain.first_image(block) * s.pixels(),
                  chain.end_image(block) * s.pixels());
}

// d_a of the last unit is dL/dy.
inline void backward_output(const Chain& chain, int64_t block) {
    const int64_t u = chain.units - 1;
    const Step& s = chain.step[u];
    const int64_t out = s.unit->out, end = chain.end_image(block) * s.pixels();
    over_channels(0, s.out, [&](int64_t c, auto width) {
        constexpr int N = width.lanes;
        for (int64_t row = chain.first_image(block) * s.pixels(); row < end; row++)
            store<N>(gradient_of(chain, u) + row * s.out + c,
                     load<N>(chain.job->y_gradient + row * out + c, out - c));
    });
    backward_block(chain, u, block);
}

// beta' and gamma' from the sums of all blocks, and what d_h needs.
inline void backward_norm(const Chain& chain, int64_t u) {
    const Step& s = chain.step[u];
    const Gradients to = gradients_of(chain, u);
    const double count = (double)chain.job->images * s.pixels();
    for (int64_t c = 0; c < s.out; c++) {
        double sum = 0, products = 0;
        for (int64_t block = 0; block < chain.blocks; block++) {
            sum += chain.partial[2 * block * s.out + c];
            products += chain.partial[(2 * block + 1) * s.out + c];
        }
        to.beta[c] = (float)sum;
        to.gamma[c] = (float)(products * s.inverse[c]);
        chain.means[c] = (float)(sum / count);
        chain.products[c] = (float)(products * s.inverse[c] * s.inverse[c] / count);
    }
}

// Call f(row, d_h) for rows `first` to `end`, N channels from c.
template <int N, class F>
inline void over_map_gradients(const Chain& chain, int64_t u, int64_t first, int64_t end, int64_t c,
                               F f) {
    const Step& s = chain.step[u];
    const Vec<N> scale = load<N>(s.scale + c), mean = load<N>(s.mean + c);
    const Vec<N> means = load<N>(chain.means + c), products = load<N>(chain.products + c);
    const float* d = gradient_of(chain, u);
    for (int64_t row = first; row < end; row++) {
        const int64_t at = row * s.out + c;
        const Vec<N> distance = load<N>(s.h + at) - mean;
        f(row, scale * (load<N>(d + at) - means - distance * products));
    }
}

// dL/dx of N channels of a pixel from c: through the chain, and past it.
template <int N>
inline void put_input_gradient(const Chain& chain, int64_t row, int64_t c, Vec<N> d) {
    const int64_t in = chain.recipe->unit[0].in, at = row * in + c;
    if (chain.recipe->residual) d += load<N>(chain.job->y_gradient + at, in - c);
    store<N>(chain.job->x_gradient + at, d, in - c);
}

// dL/dx of a first unit with patches: every input gets the gradients of all patches that have it.
inline void add_patch_gradients(const Chain& chain, int64_t first, int64_t end, const float* d,
                                int64_t d_step) {
    const Step& s = chain.step[0];
    const int64_t in = s.unit->in;
    for (int64_t row = first; row < end; row++)
        over_patch(s, row, [&](int64_t tap, int64_t pixel) {
            if (pixel < 0) return;
            float* to = chain.job->x_gradient + pixel * in;
            for (int64_t i = 0; i < in; i++) to[i] += d[(row - first) * d_step + tap * in + i];
        });
}

// Of a dense unit, for a block: sum += d_h a_before, d_a_before = W^T d_h, and d_z_before.
inline void backward_dense(const Chain& chain, int64_t u, int64_t block, Matrix sum, float* tile) {
    const Step& s = chain.step[u];
    const int64_t first = chain.first_image(block) * s.pixels();
    const int64_t end = chain.end_image(block) * s.pixels(), columns = padded(s.inputs());
    const PackedBack packed = packed_back_of(*chain.recipe, u);
    float *d = tile + CHUNK * columns, *d_before = d + CHUNK * s.out;
    const bool gated = u > 0 && chain.step[u - 1].squeeze;
    if (u == 0 && chain.job->x_gradient && !s.pointwise()) {
        const int64_t size = s.shape.height * s.shape.width * s.unit->in;
        clear_matrix({chain.job->x_gradient + chain.first_image(block) * size, size},
                     chain.end_image(block) - chain.first_image(block), size);
    }
    for (int64_t row = first; row < end; row += CHUNK) {
        const int64_t stop = least(row + CHUNK, end), rows = stop - row;
        over_runs(row, stop, [&](int64_t from, int64_t to) {
            over_channels(0, s.out, [&](int64_t c, auto width) {
                constexpr int N = width.lanes;
                over_map_gradients<N>(chain, u, from, to, c, [&](int64_t i, Vec<N> v) {
                    store<N>(d + (i - row) * s.out + c, v);
                });
            });
        });
        if (s.unit->weight.gradient) {
            const Factor a = dense_inputs(chain, u, row, stop, tile);
            if (u)
                add_product_across(s.unit->out, rows, s.in, d, s.out, a.at, a.step, sum);
            else
                add_product_across(s.inputs(), rows, s.out, a.at, a.step, d, s.out, sum);
        }
        if (u == 0 && !chain.job->x_gradient) continue;
        const Matrix before = u ? Matrix{gradient_of(chain, u - 1) + row * s.in, s.in}
                                : Matrix{d_before, columns};
        product(rows, s.unit->out, columns, {d, s.out}, packed.weight, before);
        if (u && !gated) backward_rows(chain, u - 1, block, row, stop);
        if (u) continue;
        if (!s.pointwise()) {
            add_patch_gradients(chain, row, stop, d_before, columns);
            continue;
        }
        over_channels(0, columns, [&](int64_t c, auto width) {
            constexpr int N = width.lanes;
            for (int64_t i = row; i < stop; i++)
                put_input_gradient<N>(chain, i, c, load<N>(d_before + (i - row) * columns + c));
        });
    }
    if (gated) backward_block(chain, u - 1, block);
}

// The same, of a depthwise unit.
inline void backward_depthwise(const Chain& chain, int64_t u, int64_t block, Matrix sum,
                               float* tile) {
    const Step& s = chain.step[u];
    const Shape& q = s.shape;
    const int64_t pixels = q.height * q.width, taps = q.kernel * q.kernel;
    const float* weight = packed_of(*chain.recipe, u).weight;
    const bool gated = u > 0 && chain.step[u - 1].squeeze;
    over_channels(0, s.out, [&](int64_t c, auto width) {
        constexpr int N = width.lanes;
        float *inputs = tile, *plane = inputs + q.plane_pixels() * N;
        float* own = plane + q.plane_pixels() * N;
        // d_h lies in the plane from which it is convolved, or else in memory of its own.
        float* d = q.stride == 1 ? plane + (q.top * q.plane_line() + q.left) * N
                                 : own + pixels * N;
        const int64_t d_line = (q.stride == 1 ? q.plane_line() : q.columns) * N;
        clear_padding<N>(q, inputs);
        if (q.stride == 1) clear_padding<N>(q, plane);
        for (int64_t i = chain.first_image(block); i < chain.end_image(block); i++) {
            const int64_t row = i * s.pixels(), row_before = i * pixels;
            float* at = d;
            int64_t x = 0;
            over_map_gradients<N>(chain, u, row, row + s.pixels(), c, [&](int64_t, Vec<N> v) {
                store<N>(at, v);
                at += N;
                if (++x == q.columns) x = 0, at += d_line - q.columns * N;
            });
            if (s.unit->weight.gradient) {
                depthwise_inputs<N>(chain, u, i, c, inputs);
                weigh<N>(q, inputs, d, d_line, sum.at + c, sum.step);
            }
            if (u == 0 && !chain.job->x_gradient) continue;
            float* before = u ? gradient_of(chain, u - 1) + row_before * s.in + c : own;
            const int64_t step = u ? s.in : N;
            if (q.stride == 1) {
                convolve<N>(q, plane, weight + (taps - 1) * s.out + c, -s.out, before, step);
            } else {
                clear<N>(plane, q.plane_pixels());
                spread<N>(q, d, N, weight + c, s.out, plane);
                over_pixels<N>(q, [&](int64_t place, int64_t pixel) {
                    store<N>(before + pixel * step, load<N>(plane + place));
                });
            }
            if (u == 0)
                for (int64_t pixel = 0; pixel < pixels; pixel++)
                    put_input_gradient<N>(chain, row_before + pixel, c, load<N>(own + pixel * N));
            else if (!gated)
                over_runs(row_before, row_before + pixels, [&](int64_t from, int64_t to) {
                    backward_activation<N>(chain, u - 1, block, from, to, c);
                });
        }
    });
    if (gated) backward_block(chain, u - 1, block);
}

// One stripe of a unit: its blocks in order.
inline void backward_stripe(const Chain& chain, int64_t u, int64_t stripe, float* tile) {
    const Gradients to = gradients_of(chain, u);
    const Matrix sum = {to.weight + stripe * to.rows * to.columns, to.columns};
    clear_matrix(sum, to.rows, to.columns);
    for (int64_t block = chain.first_block(stripe); block < chain.first_block(stripe + 1); block++)
        if (chain.step[u].dense())
            backward_dense(chain, u, block, sum, tile);
        else
            backward_depthwise(chain, u, block, sum, tile);
}

// Add up the stripes, in order.
inline void add_stripes(const Chain& chain, int64_t u) {
    const Gradients to = gradients_of(chain, u);
    const int64_t size = to.rows * to.columns;
    for (int64_t stripe = 1; stripe < chain.stripes; stripe++)
        for (int64_t i = 0; i < size; i++) to.weight[i] += to.weight[stripe * size + i];
}

// Gradients of the weights of the gate: sums over images.
inline void gate_gradient(const Chain& chain, int64_t u) {
    const Step& s = chain.step[u];
    const Gradients to = gradients_of(chain, u);
    const int64_t images = chain.job->images, out = s.unit->out, squeeze = s.unit->squeeze;
    clear_matrix({to.reduce, s.out}, squeeze, s.out);
    clear_matrix({to.expand, s.squeeze}, out, s.squeeze);
    add_product_across(squeeze, images, s.out, chain.reduce_gradient, s.squeeze, s.pooled, s.out,
                       {to.reduce, s.out});
    add_product_across(out, images, s.squeeze, chain.expand_gradient, s.out, s.squeezed, s.squeeze,
                       {to.expand, s.squeeze});
    auto bias = [&](const float* d, int64_t width, float* sum) {
        clear_matrix({sum, width}, 1, width);
        for (int64_t i = 0; i < images; i++)
            for (int64_t c = 0; c < width; c++) sum[c] += d[i * width + c];
    };
    bias(chain.reduce_gradient, s.squeeze, to.reduce_bias);
    bias(chain.expand_gradient, s.out, to.expand_bias);
}

// Add the gradients by one job to those of the weights.
inline void add_gradients(const Chain& chain) {
    for (int64_t u = 0; u < chain.units; u++) {
        const Unit& unit = *chain.step[u].unit;
        const Norm& norm = *chain.step[u].norm;
        const Gradients from = gradients_of(chain, u);
        const int64_t out = padded(unit.out), in = padded(unit.in), squeeze = padded(unit.squeeze);
        const Weight& w = unit.weight;
        for (int64_t tap = 0; w.gradient && tap < unit.kernel * unit.kernel; tap++) {
            float* to = w.gradient + tap / unit.kernel * w.row_step +
                        tap % unit.kernel * w.column_step;
            for (int64_t o = 0; o < unit.out; o++)
                for (int64_t i = 0; i < (unit.depthwise ? 1 : unit.in); i++)
                    to[o * w.out_step + i * w.in_step] +=
                        from.weight[unit.depthwise ? tap * out + o
                                    : u            ? o * in + i
                                                   : (tap * unit.in + i) * out + o];
        }
        auto add_matrix = [](const Weight& weight, const float* sum, int64_t step, int64_t rows,
                             int64_t columns, const float* bias) {
            for (int64_t o = 0; weight.gradient && o < rows; o++)
                for (int64_t i = 0; i < columns; i++)
                    weight.gradient[o * weight.out_step + i * weight.in_step] += sum[o * step + i];
            for (int64_t o = 0; weight.bias_gradient && o < rows; o++)
                weight.bias_gradient[o] += bias[o];
        };
        if (unit.squeeze) {
            add_matrix(unit.reduce, from.reduce, out, unit.squeeze, unit.out, from.reduce_bias);
            add_matrix(unit.expand, from.expand, squeeze, unit.out, unit.squeeze, from.expand_bias);
        }
        for (int64_t c = 0; c < unit.out; c++) {
            if (norm.gamma_gradient) norm.gamma_gradient[c] += from.gamma[c];
            if (norm.beta_gradient) norm.beta_gradient[c] += from.beta[c];
        }
    }
}
