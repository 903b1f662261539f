#include <cstdint>

extern "C" int64_t mpnas_kernels_abi() { return 1; }
