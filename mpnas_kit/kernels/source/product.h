// Matrix product: all 1 x 1 convolutions, their two gradients, and squeeze-and-excite.
//
//     C[m][n]  = sum over k of A[m][k] * B[k][n]        n: channels, in vectors
//     C[m][n] += sum over k of A[k][m] * B[k][n]        ACROSS: as gradients of weights need it
//
// In the first form B is packed: in panels of columns, each with all rows k one after another. In
// the second it is a plain matrix, with rows `b_step` apart.
#pragma once
#include "vector.h"

constexpr int PANEL = 2 * LANES;  // columns of a panel; the last ones may be narrower

// Columns of the panel that begins at column c.
inline int64_t panel_width(int64_t c, int64_t columns) {
    const int64_t left = columns - c;
    return left >= PANEL ? PANEL : left >= LANES ? LANES : GRAIN;
}

// B[k][n] = row(k)[column(n)], as a packed matrix; columns from `existing` on are 0.
template <class R, class C>
inline void pack(float* b, int64_t rows, int64_t existing, R row, C column) {
    const int64_t columns = padded(existing);
    for (int64_t c = 0, width; c < columns; c += width) {
        width = panel_width(c, columns);
        const int64_t end = least(c + width, existing);
        for (int64_t k = 0; k < rows; k++, b += width) {
            const float* from = row(k);
            for (int64_t n = c; n < end; n++) b[n - c] = from[column(n)];
            for (int64_t n = end; n < c + width; n++) b[n - c] = 0.0f;
        }
    }
}

struct Factor {  // a matrix that is read: rows `step` apart
    const float* at;
    int64_t step;
};
struct Matrix {  // a matrix that is written
    float* at;
    int64_t step;
};

// M rows and V vectors of C, in registers.
template <bool ACROSS, int M, int V, int N>
inline void multiply_tile(int64_t depth, const float* a, int64_t a_step, const float* b, int64_t b_step,
                 float* c, int64_t c_step) {
    Vec<N> sum[M][V];
    for (int m = 0; m < M; m++)
        for (int v = 0; v < V; v++) sum[m][v] = ACROSS ? load<N>(c + m * c_step + v * N) : Vec<N>{};
    for (int64_t k = 0; k < depth; k++) {
        Vec<N> right[V];
        for (int v = 0; v < V; v++) right[v] = load<N>(b + k * b_step + v * N);
        for (int m = 0; m < M; m++) {
            const Vec<N> left = all<N>(ACROSS ? a[k * a_step + m] : a[m * a_step + k]);
            for (int v = 0; v < V; v++) sum[m][v] += left * right[v];
        }
    }
    for (int m = 0; m < M; m++)
        for (int v = 0; v < V; v++) store<N>(c + m * c_step + v * N, sum[m][v]);
}

template <bool ACROSS, int M, int V, int N>
inline void last_rows(int64_t rows, int64_t depth, const float* a, int64_t a_step, const float* b,
                      int64_t b_step, float* c, int64_t c_step) {
    if constexpr (M > 0) {
        if (rows == M)
            multiply_tile<ACROSS, M, V, N>(depth, a, a_step, b, b_step, c, c_step);
        else
            last_rows<ACROSS, M - 1, V, N>(rows, depth, a, a_step, b, b_step, c, c_step);
    }
}

// All rows of a panel of V vectors.
template <bool ACROSS, int V, int N>
void panel(int64_t rows, int64_t depth, const float* a, int64_t a_step, const float* b,
           int64_t b_step, float* c, int64_t c_step) {
    constexpr int M = V == 2 ? (LANES == 16 ? 8 : 6) : 8;  // so many sums fit in the registers
    const int64_t a_row = ACROSS ? 1 : a_step;
    int64_t m = 0;
    for (; m + M <= rows; m += M)
        multiply_tile<ACROSS, M, V, N>(depth, a + m * a_row, a_step, b, b_step, c + m * c_step, c_step);
    last_rows<ACROSS, M - 1, V, N>(rows - m, depth, a + m * a_row, a_step, b, b_step,
                                   c + m * c_step, c_step);
}

template <bool ACROSS>
void product_of(int64_t rows, int64_t depth, int64_t columns, const float* a, int64_t a_step,
                const float* b, int64_t b_step, float* c, int64_t c_step) {
    for (int64_t n = 0, width; n < columns; n += width) {
        width = panel_width(n, columns);
        const float* from = ACROSS ? b + n : b + n * depth;
        const int64_t step = ACROSS ? b_step : width;
        if (width == PANEL)
            panel<ACROSS, 2, LANES>(rows, depth, a, a_step, from, step, c + n, c_step);
        else if (width == LANES)
            panel<ACROSS, 1, LANES>(rows, depth, a, a_step, from, step, c + n, c_step);
        else
            panel<ACROSS, 1, GRAIN>(rows, depth, a, a_step, from, step, c + n, c_step);
    }
}

// C = A B with a packed B. `columns` is a multiple of GRAIN.
inline void product(int64_t rows, int64_t depth, int64_t columns, Factor a, const float* packed,
                    Matrix c) {
    product_of<false>(rows, depth, columns, a.at, a.step, packed, 0, c.at, c.step);
}

// C += A^T B.
inline void add_product_across(int64_t rows, int64_t depth, int64_t columns, const float* a,
                               int64_t a_step, const float* b, int64_t b_step, Matrix c) {
    product_of<true>(rows, depth, columns, a, a_step, b, b_step, c.at, c.step);
}
