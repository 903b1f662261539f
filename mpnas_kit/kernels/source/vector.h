// Vectors of channels. All maps have the channels last, so channels lie side by side in memory.
// Every sum in these kernels runs over pixels, images or input channels, never over the lanes of a
// vector. So the number of lanes changes the speed but not the order of any sum.
#pragma once
#include <stdint.h>

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX2__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif
constexpr int GRAIN = 8;  // channels of the kernels' own maps are padded to a multiple of this

template <int N>
struct Lanes {
    typedef float type __attribute__((vector_size(4 * N)));
    typedef float memory __attribute__((vector_size(4 * N), aligned(4), may_alias));
};
template <int N>
using Vec = typename Lanes<N>::type;
template <int N>
struct Width {
    static constexpr int lanes = N;
};
template <int N>
struct Constant {
    static constexpr int value = N;
};

template <int N>
inline Vec<N> load(const float* p) {
    return *reinterpret_cast<const typename Lanes<N>::memory*>(p);
}
template <int N>
inline void store(float* p, Vec<N> v) {
    *reinterpret_cast<typename Lanes<N>::memory*>(p) = v;
}
template <int N>
inline Vec<N> all(float value) {
    return value - Vec<N>{};  // x - 0 is x, for every x
}

// The larger and the smaller of two values; b if one of them is NaN. GCC does not find the
// instructions for them by itself.
template <int N>
inline Vec<N> larger(Vec<N> a, Vec<N> b) {
#if defined(__AVX512F__) && !defined(__clang__)
    if constexpr (N == 16) return __builtin_ia32_maxps512_mask(a, b, a, -1, 4);
#endif
#if defined(__AVX2__) && !defined(__clang__)
    if constexpr (N == 8) return __builtin_ia32_maxps256(a, b);
#endif
    return a > b ? a : b;
}
template <int N>
inline Vec<N> smaller(Vec<N> a, Vec<N> b) {
#if defined(__AVX512F__) && !defined(__clang__)
    if constexpr (N == 16) return __builtin_ia32_minps512_mask(a, b, a, -1, 4);
#endif
#if defined(__AVX2__) && !defined(__clang__)
    if constexpr (N == 8) return __builtin_ia32_minps256(a, b);
#endif
    return a < b ? a : b;
}

// Load and store the last channels of a map that is not padded: only `count` of the lanes exist.
template <int N>
inline Vec<N> load(const float* p, int64_t count) {
    if (count >= N) return load<N>(p);
    Vec<N> v = {};
    for (int64_t i = 0; i < count; i++) v[i] = p[i];
    return v;
}
template <int N>
inline void store(float* p, Vec<N> v, int64_t count) {
    if (count >= N) return store<N>(p, v);
    for (int64_t i = 0; i < count; i++) p[i] = v[i];
}

// Call f(channel, Width<N>) for all channels from `first` to `end`, a multiple of GRAIN apart.
template <class F>
inline void over_channels(int64_t first, int64_t end, F f) {
    int64_t c = first;
    for (; c + LANES <= end; c += LANES) f(c, Width<LANES>());
    if (LANES > GRAIN && c < end) f(c, Width<GRAIN>());
}

inline int64_t padded(int64_t channels) { return (channels + GRAIN - 1) / GRAIN * GRAIN; }
inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
