// What happens to single elements: normalisation, activations, and sums over pixels.
#pragma once
#include "vector.h"

// Activations. slope(z) is the derivative of value(z), as torch defines it where there is none.
// Comparisons are written so that NaN passes.
struct Identity {
    template <class V> static V value(V z) { return z; }
    template <class V> static V slope(V) { return 1.0f - V{}; }
};
struct Relu {
    template <class V> static V value(V z) { return z < 0.0f ? V{} : z; }
    template <class V> static V slope(V z) { return z <= 0.0f ? V{} : 1.0f - V{}; }
};
struct Relu6 {
    template <class V> static V value(V z) { return z < 0.0f ? V{} : z > 6.0f ? 6.0f - V{} : z; }
    template <class V> static V slope(V z) {
        return z <= 0.0f ? V{} : z >= 6.0f ? V{} : 1.0f - V{};
    }
};
struct HardSwish {  // z * relu6(z + 3) / 6
    template <class V> static V value(V z) { return z * Relu6::value(z + 3.0f) * (1.0f / 6); }
    template <class V> static V slope(V z) {
        const V inside = z * (1.0f / 3) + 0.5f;
        return z <= -3.0f ? V{} : z >= 3.0f ? 1.0f - V{} : inside;
    }
};

// Call f(activation) with the activation of this number. Python numbers them in the same order.
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
