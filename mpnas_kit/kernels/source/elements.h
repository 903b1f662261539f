// What happens to single elements: normalisation, activations, and sums over pixels.
#pragma once
#include "vector.h"

// Activations: a = value(z), and dL/dz = back(z, dL/da). Where there is no derivative, it is that of
// torch. NaN passes: `larger` and `smaller` return z, and comparisons with it are false.
struct Identity {
    template <int N> static Vec<N> value(Vec<N> z) { return z; }
    template <int N> static Vec<N> back(Vec<N>, Vec<N> d) { return d; }
};
struct Relu {
    template <int N> static Vec<N> value(Vec<N> z) { return larger<N>(Vec<N>{}, z); }
    template <int N> static Vec<N> back(Vec<N> z, Vec<N> d) { return z <= 0.0f ? Vec<N>{} : d; }
};
struct Relu6 {
    template <int N> static Vec<N> value(Vec<N> z) {
        return smaller<N>(all<N>(6), Relu::value<N>(z));
    }
    template <int N> static Vec<N> back(Vec<N> z, Vec<N> d) {
        return z <= 0.0f ? Vec<N>{} : z >= 6.0f ? Vec<N>{} : d;
    }
};
struct HardSigmoid {  // relu6(z + 3) / 6
    template <int N> static Vec<N> value(Vec<N> z) {
        return smaller<N>(all<N>(1), Relu::value<N>(z * (1.0f / 6) + 0.5f));
    }
    // From the value instead of z.
    template <int N> static Vec<N> back(Vec<N> value, Vec<N> d) {
        const Vec<N> inside = d * (1.0f / 6);
        return value > 0.0f ? (value < 1.0f ? inside : Vec<N>{}) : Vec<N>{};
    }
};
struct HardSwish {  // z hardsigmoid(z)
    template <int N> static Vec<N> value(Vec<N> z) { return z * HardSigmoid::value<N>(z); }
    template <int N> static Vec<N> back(Vec<N> z, Vec<N> d) {
        const Vec<N> inside = d * (z * (1.0f / 3) + 0.5f);
        return z <= -3.0f ? Vec<N>{} : z >= 3.0f ? d : inside;
    }
};

// Call f(activation) with the activation of this number. Python numbers them in the same order, and
// has checked the number.
template <class F>
inline void with_activation(int64_t number, F f) {
    if (number == 0) f(Identity());
    if (number == 1) f(Relu());
    if (number == 2) f(Relu6());
    if (number == 3) f(HardSwish());
}

// Rows are visited in runs. A run of all channels of a wide map needs few pages of memory at once;
// and sums of runs that are then added up keep the precision of float.
constexpr int64_t RUN = 32;

template <class F>
inline void over_runs(int64_t first, int64_t end, F f) {
    for (int64_t row = first; row < end; row += RUN) f(row, least(row + RUN, end));
}
