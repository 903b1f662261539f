// Depthwise convolution of one image and one vector of channels, and its gradients.
//
// The image lies in a `Plane`: N channels of every pixel, with the zeros of the padding around it.
//
//     forward          h[o]     = sum over taps t of w[t] * plane[o * stride + t]
//     input gradient   plane[o * stride + t] += w[t] * d[o]
//     weight gradient  w'[t]    = sum over images and o of plane[o * stride + t] * d[o]
//
// With stride 1 the input gradient is the forward pass with the taps in reverse.
#pragma once
#include "vector.h"

struct Shape {  // of a depthwise convolution of one image
    int64_t kernel, stride, height, width, rows, columns;  // input: height, width; output: others
    int64_t top, left;  // zeros of the padding before the input
    int64_t plane_width() const { return (columns - 1) * stride + kernel; }
    int64_t plane_height() const { return (rows - 1) * stride + kernel; }
    int64_t plane_pixels() const {  // it must hold the input, also where no output needs it
        return most(plane_height(), height + 2 * top) * plane_line();
    }
    int64_t plane_line() const { return most(plane_width(), width + 2 * left); }
    // Taps `from` to `to` of the kernel's rows reach the image, for output rows `row` to `last`.
    int64_t from(int64_t last) const { return most(0, top - last * stride); }
    int64_t to(int64_t row) const { return least(kernel, height + top - row * stride); }
};

template <int N>
inline void clear(float* plane, int64_t pixels) {
    for (int64_t i = 0; i < pixels; i++) store<N>(plane + i * N, Vec<N>{});
}

// Clear the padding. The image is written afterwards.
template <int N>
inline void clear_padding(const Shape& s, float* plane) {
    const int64_t line = s.plane_line(), right = s.left + s.width;
    for (int64_t y = 0; y < s.plane_pixels() / line; y++) {
        const bool outside = y < s.top || y >= s.top + s.height;
        clear<N>(plane + y * line * N, outside ? line : s.left);
        if (!outside) clear<N>(plane + (y * line + right) * N, line - right);
    }
}

// Call f(place in the plane, pixel of the image) for all pixels of an image.
template <int N, class F>
inline void over_pixels(const Shape& s, F f) {
    for (int64_t y = 0; y < s.height; y++)
        for (int64_t x = 0; x < s.width; x++)
            f(((y + s.top) * s.plane_line() + x + s.left) * N, y * s.width + x);
}

// R rows and X columns of the output, in registers. K and S are kernel and stride; 0: any.
template <int K, int S, int R, int X, int N>
inline void convolve_tile(const Shape& s, const float* plane, const float* taps, int64_t tap_step,
                          int64_t row, int64_t column, float* out, int64_t out_step) {
    const int64_t kernel = K ? K : s.kernel, stride = S ? S : s.stride, line = s.plane_line() * N;
    Vec<N> sum[R][X] = {};
    for (int64_t ky = s.from(row + R - 1); ky < s.to(row); ky++) {
        const float* at = plane + (row * stride + ky) * line + column * stride * N;
        const float* tap = taps + ky * kernel * tap_step;
        for (int64_t kx = 0; kx < kernel; kx++) {
            const Vec<N> w = load<N>(tap + kx * tap_step);
            for (int r = 0; r < R; r++)
                for (int x = 0; x < X; x++)
                    sum[r][x] += w * load<N>(at + r * stride * line + (x * stride + kx) * N);
        }
    }
    for (int r = 0; r < R; r++)
        for (int x = 0; x < X; x++)
            store<N>(out + ((row + r) * s.columns + column + x) * out_step, sum[r][x]);
}

template <int K, int S, int R, int N>
inline void convolve_rows(const Shape& s, const float* plane, const float* taps, int64_t tap_step,
                          int64_t row, float* out, int64_t out_step) {
    constexpr int X = R == 1 ? 8 : 4;
    int64_t x = 0;
    for (; x + X <= s.columns; x += X)
        convolve_tile<K, S, R, X, N>(s, plane, taps, tap_step, row, x, out, out_step);
    for (; x + 2 <= s.columns; x += 2)
        convolve_tile<K, S, R, 2, N>(s, plane, taps, tap_step, row, x, out, out_step);
    for (; x < s.columns; x++)
        convolve_tile<K, S, R, 1, N>(s, plane, taps, tap_step, row, x, out, out_step);
}

template <int K, int S, int N>
void convolve_as(const Shape& s, const float* plane, const float* taps, int64_t tap_step,
                 float* out, int64_t out_step) {
    int64_t row = 0;
    if (s.columns < 8)  // narrow maps need several rows to fill the registers
        for (; row + 2 <= s.rows; row += 2)
            convolve_rows<K, S, 2, N>(s, plane, taps, tap_step, row, out, out_step);
    for (; row < s.rows; row++)
        convolve_rows<K, S, 1, N>(s, plane, taps, tap_step, row, out, out_step);
}

// Call f(K, S) with kernel and stride as constants for the usual ones, else with 0.
template <class F>
inline void with_kernel(const Shape& s, F f) {
    if (s.kernel == 3 && s.stride == 1) return f(Constant<3>(), Constant<1>());
    if (s.kernel == 5 && s.stride == 1) return f(Constant<5>(), Constant<1>());
    if (s.kernel == 7 && s.stride == 1) return f(Constant<7>(), Constant<1>());
    if (s.kernel == 3 && s.stride == 2) return f(Constant<3>(), Constant<2>());
    if (s.kernel == 5 && s.stride == 2) return f(Constant<5>(), Constant<2>());
    if (s.kernel == 7 && s.stride == 2) return f(Constant<7>(), Constant<2>());
    f(Constant<0>(), Constant<0>());
}

// Forward: out[o] of one image; pixels of `out` are `out_step` apart, taps `tap_step`.
template <int N>
inline void convolve(const Shape& s, const float* plane, const float* taps, int64_t tap_step,
                     float* out, int64_t out_step) {
    with_kernel(s, [&](auto k, auto t) {
        convolve_as<k.value, t.value, N>(s, plane, taps, tap_step, out, out_step);
    });
}

// Input gradient: plane += taps * d.
template <int N>
inline void spread(const Shape& s, const float* d, int64_t d_step, const float* taps,
                   int64_t tap_step, float* plane) {
    for (int64_t row = 0; row < s.rows; row++)
        for (int64_t column = 0; column < s.columns; column++) {
            const Vec<N> gradient = load<N>(d + (row * s.columns + column) * d_step);
            for (int64_t ky = s.from(row); ky < s.to(row); ky++) {
                float* at = plane + ((row * s.stride + ky) * s.plane_line() + column * s.stride) * N;
                const float* tap = taps + ky * s.kernel * tap_step;
                for (int64_t kx = 0; kx < s.kernel; kx++)
                    store<N>(at + kx * N,
                             load<N>(at + kx * N) + load<N>(tap + kx * tap_step) * gradient);
            }
        }
}

// Weight gradient of one image: `sums[t] += ...`. Rows of d are `d_line` apart. G rows of taps are
// summed in registers at once.
template <int K, int G, int N>
inline void weigh_rows(const Shape& s, const float* plane, const float* d, int64_t d_line,
                       int64_t ky, float* sums, int64_t sum_step) {
    const int64_t line = s.plane_line() * N;
    Vec<N> sum[G][K] = {};
    for (int64_t row = 0; row < s.rows; row++) {
        if (ky + G <= s.from(row) || ky >= s.to(row)) continue;  // only zeros of the padding
        const float* at = plane + (row * s.stride + ky) * line;
        for (int64_t column = 0; column < s.columns; column++, at += s.stride * N) {
            const Vec<N> gradient = load<N>(d + row * d_line + column * N);
            for (int g = 0; g < G; g++)
                for (int kx = 0; kx < K; kx++)
                    sum[g][kx] += gradient * load<N>(at + g * line + kx * N);
        }
    }
    for (int g = 0; g < G; g++)
        for (int kx = 0; kx < K; kx++) {
            float* to = sums + ((ky + g) * K + kx) * sum_step;
            store<N>(to, load<N>(to) + sum[g][kx]);
        }
}

template <int K, int G, int N>
inline void weigh_as(const Shape& s, const float* plane, const float* d, int64_t d_line,
                     float* sums, int64_t sum_step) {
    int64_t ky = 0;
    for (; ky + G <= K; ky += G) weigh_rows<K, G, N>(s, plane, d, d_line, ky, sums, sum_step);
    for (; ky < K; ky++) weigh_rows<K, 1, N>(s, plane, d, d_line, ky, sums, sum_step);
}

template <int N>
inline void weigh(const Shape& s, const float* plane, const float* d, int64_t d_line, float* sums,
                  int64_t sum_step) {
    if (s.kernel == 3) return weigh_as<3, 3, N>(s, plane, d, d_line, sums, sum_step);
    if (s.kernel == 5) return weigh_as<5, N == 16 ? 1 : 2, N>(s, plane, d, d_line, sums, sum_step);
    if (s.kernel == 7) return weigh_as<7, 1, N>(s, plane, d, d_line, sums, sum_step);
    for (int64_t tap = 0; tap < s.kernel * s.kernel; tap++) {  // any other kernel: tap by tap
        const int64_t ky = tap / s.kernel, kx = tap % s.kernel;
        Vec<N> sum = {};
        for (int64_t row = 0; row < s.rows; row++)
            for (int64_t column = 0; column < s.columns; column++) {
                const int64_t pixel = (row * s.stride + ky) * s.plane_line() + column * s.stride + kx;
                sum += load<N>(d + row * d_line + column * N) * load<N>(plane + pixel * N);
            }
        store<N>(sums + tap * sum_step, load<N>(sums + tap * sum_step) + sum);
    }
}
