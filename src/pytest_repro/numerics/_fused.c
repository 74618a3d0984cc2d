/* All figures of the comparison of two arrays of one float format, in one pass over memory. _fused.pyi documents the
 * interface.
 *
 * The arrays are read in chunks that stay in the L1 cache. One loop compares the bytes and sums the squares of the
 * baseline, and further loops run only in a chunk that differs. The loops are plain C, written so that a compiler
 * vectorizes them. Each figure is the same as in kinds.py and statistics.py, to the bit, except for the sums of
 * squares, whose order of summation differs.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

/* The version that fused.py expects. Raise it with every change of what `measure` takes, returns or computes, so that a
 * shared object left over from another release is not used. */
#define VERSION 2

#ifdef __FAST_MATH__
#error "reordered and flushed arithmetic changes the figures"
#endif
#if FLT_EVAL_METHOD != 0
#error "arithmetic in a wider format changes the figures"
#endif

/* One build uses the widest vectors of the processor that runs it. The dispatch needs GCC and glibc's ifunc. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__)
#if __GNUC__ >= 12
#define FOR_EACH_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx2", "default")))
#endif
#else
#define FOR_EACH_PROCESSOR
#endif

/* A function that is inlined, so that it is compiled for its caller's processor. */
#ifdef __GNUC__
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

#ifdef _MSC_VER
#define SIMD(clauses)
#define restrict __restrict
#else
#define AS_PRAGMA(text) _Pragma(#text)
#define SIMD(clauses) AS_PRAGMA(omp simd clauses)
#endif

#define CHUNK_BYTES 8192
#define LENGTHS 65 /* of integers of 64 bits, 0 included */
/* Above this many bits a table of counts is faster than one pass per length. */
#define COUNTED_BY_PASSES 8
#define TABLES 4

/* In this range underflow or overflow cannot have changed a sum of float64 squares noticeably (norms.py). */
#define LEAST_TRUSTED 1e-250
#define MOST_TRUSTED 1e300

/* The figures found so far, and the bounds that admit an element. */
typedef struct {
    uint64_t max_ulp_allowed;
    double rtol, atol;
    int64_t differing, over, first, worst;
    uint64_t max_ulp;
    double max_abs, max_rel, difference_squares, expected_squares, max_expected;
    int64_t lengths[LENGTHS];
} Figures;

INLINE int bit_length(uint64_t value)
{
#if defined(__GNUC__)
    return value ? 64 - __builtin_clzll(value) : 0;
#else
    int length = 0;
    for (; value; value >>= 1) length++;
    return length;
#endif
}

/* Return whether this thread treats subnormal numbers as zero, which would make every figure wrong. */
static int is_flushing(void)
{
    volatile double smallest = 5e-324, one = 1.0;
    volatile double product = smallest * one;
    uint64_t code;
    double value = product;
    memcpy(&code, &value, sizeof code);
    return code == 0;
}

INLINE float value_float32(uint32_t code)
{
    float value;
    memcpy(&value, &code, sizeof value);
    return value;
}

INLINE float value_bfloat16(uint16_t code)
{
    return value_float32((uint32_t)code << 16);
}

INLINE double value_float64(uint64_t code)
{
    double value;
    memcpy(&value, &code, sizeof value);
    return value;
}

/* Return a float32 that is not above a ratio. */
static float below_float32(double ratio)
{
    if (ratio < 1e-37) return 0;
    return ratio < FLT_MAX ? (float)(ratio * (1 - 0x1p-22)) : FLT_MAX;
}

/* Return a float32 that is not above any ratio of near numbers that exceeds this one.
 *
 * With 8 bits many elements have the largest ratio, and each would require a division. The difference of near numbers
 * has at most 8 bits too, and two quotients of integers of 8 bits are equal or differ by a relative 2**-16.
 */
static float below_bfloat16(double ratio)
{
    return ratio > 1e-37 && ratio < 1e37 ? (float)(ratio * (1 + 0x1p-18)) : below_float32(ratio);
}

static double below_float64(double ratio)
{
    return ratio;
}

#define FORMAT(name) name##_float32
#define CODE uint32_t
#define SIGNED int32_t
#define WORK float
#define WORK_CODE uint32_t
#define MAGNITUDE_OF fabsf
#define INFINITE 0x7F800000u
#define NEAR (1u << 22)
#define IS_TRUSTED(sum, largest) 1 /* float64 can hold every sum of float32 squares */
#include "_fused_chunk.h"

#define FORMAT(name) name##_bfloat16
#define CODE uint16_t
#define SIGNED int16_t
#define WORK float
#define WORK_CODE uint32_t
#define MAGNITUDE_OF fabsf
#define INFINITE 0x7F80u
#define NEAR (1u << 6)
#define IS_TRUSTED(sum, largest) 1
#include "_fused_chunk.h"

#define FORMAT(name) name##_float64
#define CODE uint64_t
#define SIGNED int64_t
#define WORK double
#define WORK_CODE uint64_t
#define MAGNITUDE_OF fabs
#define INFINITE 0x7FF0000000000000u
#define NEAR ((uint64_t)1 << 51)
#define IS_TRUSTED(sum, largest) ((largest) == 0 || ((sum) > LEAST_TRUSTED && (sum) < MOST_TRUSTED))
#include "_fused_chunk.h"

typedef int64_t (*Measure)(const void *, const void *, int64_t, int64_t, Figures *);

static PyObject *describe(const Figures *found, int64_t end)
{
    PyObject *lengths, *figures;
    int i;
    if (!found->differing)
        return Py_BuildValue("LddO", (long long)end, found->expected_squares, found->max_expected, Py_None);
    if (!(lengths = PyTuple_New(LENGTHS))) return NULL;
    for (i = 0; i < LENGTHS; i++) {
        PyObject *count = PyLong_FromLongLong(found->lengths[i]);
        if (!count || PyTuple_SetItem(lengths, i, count) < 0) {
            Py_DECREF(lengths);
            return NULL;
        }
    }
    figures = Py_BuildValue(
        "LLLKLdddN", (long long)found->differing, (long long)found->over, (long long)found->first,
        (unsigned long long)found->max_ulp, (long long)found->worst, found->max_abs, found->max_rel,
        found->difference_squares, lengths);
    if (!figures) return NULL;
    return Py_BuildValue("LddN", (long long)end, found->expected_squares, found->max_expected, figures);
}

static PyObject *measure(PyObject *module, PyObject *arguments)
{
    PyObject *sides[2], *result = NULL;
    Py_buffer actual, expected;
    const char *name;
    long long start, stop, end;
    unsigned long long max_ulp;
    Figures found;
    Measure kernel;
    int width, alignment;

    (void)module;
    memset(&found, 0, sizeof found);
    if (!PyArg_ParseTuple(
            arguments, "OOsLLKdd:measure", &sides[0], &sides[1], &name, &start, &stop, &max_ulp, &found.rtol,
            &found.atol))
        return NULL;
    found.max_ulp_allowed = max_ulp;
    if (!strcmp(name, "float32")) {
        kernel = measure_float32, width = 4, alignment = _Alignof(uint32_t);
    } else if (!strcmp(name, "bfloat16")) {
        kernel = measure_bfloat16, width = 2, alignment = _Alignof(uint16_t);
    } else if (!strcmp(name, "float64")) {
        kernel = measure_float64, width = 8, alignment = _Alignof(uint64_t);
    } else {
        PyErr_Format(PyExc_ValueError, "there is no kernel for %s", name);
        return NULL;
    }
    if (PyObject_GetBuffer(sides[0], &actual, PyBUF_SIMPLE) < 0) return NULL;
    if (PyObject_GetBuffer(sides[1], &expected, PyBUF_SIMPLE) < 0) {
        PyBuffer_Release(&actual);
        return NULL;
    }
    if (actual.len != expected.len || start < 0 || start > stop || stop > actual.len / width) {
        PyErr_SetString(PyExc_ValueError, "two buffers of one length, and a range within them, are needed");
    } else if (((uintptr_t)actual.buf | (uintptr_t)expected.buf) % (unsigned)alignment) {
        PyErr_SetString(PyExc_ValueError, "the buffers are not aligned");
    } else {
        Py_BEGIN_ALLOW_THREADS
        end = is_flushing() ? start : kernel(actual.buf, expected.buf, start, stop, &found);
        Py_END_ALLOW_THREADS
        result = describe(&found, end);
    }
    PyBuffer_Release(&expected);
    PyBuffer_Release(&actual);
    return result;
}

static PyMethodDef methods[] = {
    {"measure", measure, METH_VARARGS, "Measure elements start to stop of two buffers of float codes (fused.py)."},
    {NULL, NULL, 0, NULL},
};

static int add_constants(PyObject *module)
{
    return PyModule_AddIntConstant(module, "VERSION", VERSION);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)add_constants}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_fused", "The compiled comparison of floats.", 0, methods, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__fused(void)
{
    return PyModuleDef_Init(&definition);
}
