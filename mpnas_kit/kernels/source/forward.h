// Forward pass of a chain.
#pragma once
#include "chain.h"

// Call f(row, a) for the activations of rows `first` to `end` of all pixels, N channels from c:
//     a = act(scale h + shift) (gate)
template <bool GATED, int N, class F>
inline void over_activations(const Step& s, int64_t first, int64_t end, int64_t c, F f) {
    const Vec<N> scale = load<N>(s.scale + c), shift = load<N>(s.shift + c);
    with_activation(s.unit->activation, [&](auto act) {
        auto value = [&](int64_t row) {
            return act.template value<N>(load<N>(s.h + row * s.out + c) * scale + shift);
        };
        if (!GATED || !s.squeeze) {
            for (int64_t row = first; row < end; row++) f(row, value(row));
            return;
        }
        for (int64_t row = first; row < end;) {
            const int64_t image = row / s.pixels(), stop = least(end, (image + 1) * s.pixels());
            const Vec<N> gate = load<N>(s.gate + image * s.out + c);
            for (; row < stop; row++) f(row, value(row) * gate);
        }
    });
}

// Call f(tap, pixel) for all taps of the first unit at one row: the pixel of x that the tap reads, or
// -1 if it reads the padding.
template <class F>
inline void over_patch(const Step& s, int64_t row, F f) {
    const Shape& q = s.shape;
    const int64_t image = row / s.pixels(), pixel = row % s.pixels();
    const int64_t top = pixel / q.columns * q.stride - q.top;
    const int64_t left = pixel % q.columns * q.stride - q.left;
    for (int64_t ky = 0; ky < q.kernel; ky++)
        for (int64_t kx = 0; kx < q.kernel; kx++) {
            const int64_t y = top + ky, x = left + kx;
            const bool inside = y >= 0 && y < q.height && x >= 0 && x < q.width;
            f(ky * q.kernel + kx, inside ? (image * q.height + y) * q.width + x : -1);
        }
}

// Patches of rows `first` to `end`: the inputs (ky, kx, channel) of every output pixel.
inline void patches(const Chain& chain, int64_t first, int64_t end, float* out) {
    const Step& s = chain.step[0];
    const int64_t in = s.unit->in;
    for (int64_t row = first; row < end; row++)
        over_patch(s, row, [&](int64_t, int64_t pixel) {
            for (int64_t i = 0; i < in; i++)
                *out++ = pixel < 0 ? 0.0f : chain.job->x[pixel * in + i];
        });
}

// The inputs of a dense unit for rows `first` to `end`. If they lie in memory already, nothing is
// copied; else they are written to `tile`.
inline Factor dense_inputs(const Chain& chain, int64_t u, int64_t first, int64_t end, float* tile) {
    const Step& s = chain.step[u];
    if (u == 0 && s.pointwise()) return {chain.job->x + first * s.unit->in, s.unit->in};
    if (u == 0) {
        patches(chain, first, end, tile);
        return {tile, s.inputs()};
    }
    over_runs(first, end, [&](int64_t from, int64_t to) {
        over_channels(0, s.in, [&](int64_t c, auto width) {
            constexpr int N = width.lanes;
            over_activations<true, N>(chain.step[u - 1], from, to, c, [&](int64_t row, Vec<N> a) {
                store<N>(tile + (row - first) * s.in + c, a);
            });
        });
    });
    return {tile, s.in};
}

// The inputs of a depthwise unit: one image, N channels from c. The plane's padding stays.
template <int N>
inline void depthwise_inputs(const Chain& chain, int64_t u, int64_t image, int64_t c,
                             float* plane) {
    const Step& s = chain.step[u];
    const Shape& q = s.shape;
    const int64_t first = image * q.height * q.width, in = s.unit->in;
    if (u == 0)
        return over_pixels<N>(q, [&](int64_t place, int64_t pixel) {
            const float* x = chain.job->x + (first + pixel) * in + c;
            store<N>(plane + place, load<N>(x, in - c));
        });
    float* at = plane + (q.top * q.plane_line() + q.left) * N;
    int64_t x = 0;
    over_activations<true, N>(
        chain.step[u - 1], first, first + q.height * q.width, c, [&](int64_t, Vec<N> a) {
            store<N>(at, a);
            at += N;
            if (++x == q.width) x = 0, at += (q.plane_line() - q.width) * N;
        });
}

// Statistics of a block: the mean of h, and the sum of (h - mean)^2, per channel. Rows `first` to
// `end` are added to those of the `before` rows so far (Chan, Golub and LeVeque 1979).
template <int N>
inline void add_statistics(const Chain& chain, int64_t u, int64_t block, int64_t before,
                           int64_t first, int64_t end, int64_t c) {
    const Step& s = chain.step[u];
    float* partial = chain.partial + 2 * block * s.out + c;
    const float more = (float)(end - first);
    const Vec<N> origin = load<N>(s.h + first * s.out + c);  // a value nearby keeps the precision
    Vec<N> sum = {}, squares = {};
    for (int64_t row = first; row < end; row++) {
        const Vec<N> distance = load<N>(s.h + row * s.out + c) - origin;
        sum += distance;
        squares += distance * distance;
    }
    const Vec<N> mean = origin + sum / more;
    squares -= sum * sum / more;
    if (before == 0) {
        store<N>(partial, mean);
        return store<N>(partial + s.out, squares);
    }
    const float share = more / (more + (float)before);
    const Vec<N> old = load<N>(partial), distance = mean - old;
    store<N>(partial, old + distance * share);
    store<N>(partial + s.out, load<N>(partial + s.out) + squares +
                                  distance * distance * (share * (float)before));
}

// h = W * a, and its statistics unless they are fixed
inline void forward_dense(const Chain& chain, int64_t u, int64_t block, const Packed& packed,
                          float* tile, bool fixed) {
    const Step& s = chain.step[u];
    const int64_t first = chain.first_image(block) * s.pixels();
    const int64_t end = chain.end_image(block) * s.pixels();
    for (int64_t row = first; row < end; row += CHUNK) {
        const int64_t stop = least(row + CHUNK, end);
        product(stop - row, s.inputs(), s.out, dense_inputs(chain, u, row, stop, tile),
                packed.weight, {s.h + row * s.out, s.out});
        if (fixed) continue;
        over_runs(row, stop, [&](int64_t from, int64_t to) {
            over_channels(0, s.out, [&](int64_t c, auto width) {
                constexpr int N = width.lanes;
                add_statistics<N>(chain, u, block, from - first, from, to, c);
            });
        });
    }
}

inline void forward_depthwise(const Chain& chain, int64_t u, int64_t block, const Packed& packed,
                              float* plane, bool fixed) {
    const Step& s = chain.step[u];
    const int64_t first = chain.first_image(block);
    over_channels(0, s.out, [&](int64_t c, auto width) {
        constexpr int N = width.lanes;
        clear_padding<N>(s.shape, plane);
        for (int64_t i = first; i < chain.end_image(block); i++) {
            const int64_t row = i * s.pixels();
            depthwise_inputs<N>(chain, u, i, c, plane);
            convolve<N>(s.shape, plane, packed.weight + c, s.out, s.h + row * s.out + c, s.out);
            if (fixed) continue;
            over_runs(row, row + s.pixels(), [&](int64_t from, int64_t to) {
                add_statistics<N>(chain, u, block, from - first * s.pixels(), from, to, c);
            });
        }
    });
}

// Sum over the pixels of an image of f(row, a), with the activations before the gate.
template <int N, class F>
inline Vec<N> sum_over_image(const Step& s, int64_t image, int64_t c, F f) {
    Vec<N> sum = {};
    over_runs(image * s.pixels(), (image + 1) * s.pixels(), [&](int64_t from, int64_t to) {
        Vec<N> run = {};
        over_activations<false, N>(s, from, to, c,
                                   [&](int64_t row, Vec<N> a) { run += f(row, a); });
        sum += run;
    });
    return sum;
}

// gate = hardsigmoid(E relu(R mean over pixels of a + r) + e)
inline void gates(const Step& s, int64_t first, int64_t images, const Packed& packed) {
    float *pooled = s.pooled + first * s.out, *gate = s.gate + first * s.out;
    float* squeezed = s.squeezed + first * s.squeeze;
    for (int64_t i = 0; i < images; i++)
        over_channels(0, s.out, [&](int64_t c, auto width) {
            constexpr int N = width.lanes;
            const Vec<N> sum =
                sum_over_image<N>(s, first + i, c, [](int64_t, Vec<N> a) { return a; });
            store<N>(pooled + i * s.out + c, sum / (float)s.pixels());
        });
    product(images, s.unit->out, s.squeeze, {pooled, s.out}, packed.reduce, {squeezed, s.squeeze});
    for (int64_t i = 0; i < images; i++)
        over_channels(0, s.squeeze, [&](int64_t c, auto width) {
            constexpr int N = width.lanes;
            float* at = squeezed + i * s.squeeze + c;
            store<N>(at, Relu::value<N>(load<N>(at) + load<N>(packed.reduce_bias + c)));
        });
    product(images, s.unit->squeeze, s.out, {squeezed, s.squeeze}, packed.expand, {gate, s.out});
    for (int64_t i = 0; i < images; i++)
        over_channels(0, s.out, [&](int64_t c, auto width) {
            constexpr int N = width.lanes;
            float* at = gate + i * s.out + c;
            store<N>(at, HardSigmoid::value<N>(load<N>(at) + load<N>(packed.expand_bias + c)));
        });
}

// scale = gamma / sqrt(variance + eps), shift = beta - mean scale. The padding gets 0.
inline void set_norm(const Step& s, int64_t c, double mean, double variance, double eps) {
    const bool exists = c < s.unit->out;
    const float inverse = (float)(1 / __builtin_sqrt(variance + eps));
    s.mean[c] = (float)mean, s.inverse[c] = inverse;
    s.scale[c] = exists ? s.norm->gamma[c] * inverse : 0.0f;
    s.shift[c] = exists ? s.norm->beta[c] - (float)mean * s.scale[c] : 0.0f;
}

// Mean and variance of all blocks, in the same way, in double precision.
inline void batch_norm(const Chain& chain, int64_t u, double eps) {
    const Step& s = chain.step[u];
    for (int64_t c = 0; c < s.out; c++) {
        double count = 0, mean = 0, squares = 0;
        for (int64_t block = 0; block < chain.blocks; block++) {
            const float* partial = chain.partial + 2 * block * s.out + c;
            const double more =
                (double)(chain.end_image(block) - chain.first_image(block)) * s.pixels();
            const double distance = partial[0] - mean, all = count + more;
            mean += distance * more / all;
            squares += partial[s.out] + distance * distance * count * more / all;
            count = all;
        }
        set_norm(s, c, mean, squares / count, eps);
    }
}

inline void fixed_norm(const Step& s, double eps) {
    for (int64_t c = 0; c < s.out; c++) {
        const bool exists = c < s.unit->out;
        set_norm(s, c, exists ? s.norm->mean[c] : 0, exists ? s.norm->variance[c] : 0, eps);
    }
}

// h of one unit, for a block of images.
inline void forward_unit(const Chain& chain, int64_t u, int64_t block, float* tile, bool fixed) {
    const int64_t first = chain.first_image(block), images = chain.end_image(block) - first;
    if (u && chain.step[u - 1].squeeze)
        gates(chain.step[u - 1], first, images, packed_of(*chain.recipe, u - 1));
    if (chain.step[u].dense())
        forward_dense(chain, u, block, packed_of(*chain.recipe, u), tile, fixed);
    else
        forward_depthwise(chain, u, block, packed_of(*chain.recipe, u), tile, fixed);
}

// y = a_last (+ x)
inline void forward_output(const Chain& chain, int64_t block) {
    const Step& s = chain.step[chain.units - 1];
    const int64_t out = s.unit->out;
    const int64_t first = chain.first_image(block) * s.pixels();
    const int64_t end = chain.end_image(block) * s.pixels();
    over_runs(first, end, [&](int64_t from, int64_t to) {
        over_channels(0, s.out, [&](int64_t c, auto width) {
            constexpr int N = width.lanes;
            over_activations<false, N>(s, from, to, c, [&](int64_t row, Vec<N> a) {
                const int64_t at = row * out + c;
                if (chain.recipe->residual) a += load<N>(chain.job->x + at, out - c);
                store<N>(chain.job->y + at, a, out - c);
            });
        });
    });
}
