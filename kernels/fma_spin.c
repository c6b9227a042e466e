/* Multiply-adds on registers alone: the arithmetic limit of a CPU core, untouched by its caches and memory.
 *
 * Each step is one multiply-add on every one of ACCUMULATORS independent vectors: enough of them to hide the latency of
 * the instruction (4 or 5 cycles at 2 per cycle, or 4 at 4 per cycle), few enough to stay in registers together with
 * the three constants. Steps alternate between two multipliers whose product has a magnitude just below 1: the values
 * keep changing in sign and mantissa, as they do in real work (a fixed point would switch no transistors and flatter
 * the power), and they have a closed form, by which the caller verifies that every step was taken.
 *
 * The vectors are those of GCC and clang, so that one source serves AVX2, AVX-512 and NEON. SVE, whose vectors have no
 * size before the program runs, has intrinsics of its own, and so have the bf16 and int8 dot products of AVX-512. NEON's
 * multiply-add overwrites its addend, which costs a move for each; SVE's can overwrite the factor, as x86's does.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define WIDTH 64
#define ACCUMULATORS 24 /* of 32 registers */
#elif defined(__AVX__) && defined(__FMA__)
#define WIDTH 32
#define ACCUMULATORS 12 /* of 16 registers */
#elif defined(__ARM_FEATURE_SVE)
#include <arm_sve.h>
#define WIDTH ((int)svcntb()) /* known when it runs */
#define ACCUMULATORS 24
#elif defined(__aarch64__)
#define WIDTH 16
#define ACCUMULATORS 24
#else /* no fused multiply-add: nothing is offered, see find */
#define WIDTH 16
#define ACCUMULATORS 12
#define NO_FMA
#endif
#define WIDEST 256 /* bytes: the longest vector that SVE allows */

#if ACCUMULATORS == 24
#define EACH(DO) \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) \
    DO(12) DO(13) DO(14) DO(15) DO(16) DO(17) DO(18) DO(19) DO(20) DO(21) DO(22) DO(23)
#else
#define EACH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#endif

#define DECLARE(i) VECTOR v##i = GET(VECTOR, start + (i) * WIDTH);
#define FIRST(i) v##i = STEP(v##i, x, y);
#define SECOND(i) v##i = STEP(v##i, w, y);
#define STORE(i) PUT(end + (i) * WIDTH, v##i);

/* constants: x, w, y, WIDTH bytes each; start and end: ACCUMULATORS vectors. One pair is two steps. */
#define SPIN(name) \
    __attribute__((noinline)) void name(long pairs, const char *constants, const char *start, char *end) { \
        const OPERAND x = GET(OPERAND, constants); \
        const OPERAND w = GET(OPERAND, constants + WIDTH); \
        const OPERAND y = GET(OPERAND, constants + 2 * WIDTH); \
        EACH(DECLARE) \
        for (long i = 0; i < pairs; i++) { \
            EACH(FIRST) \
            EACH(SECOND) \
        } \
        EACH(STORE) \
    }

#if defined(__ARM_FEATURE_SVE)

#define STEP(v, multiplier, addend) svmad_x(svptrue_b8(), v, multiplier, addend)
#define VECTOR svfloat32_t
#define OPERAND svfloat32_t
#define GET(type, from) svld1_f32(svptrue_b32(), (const float *)(from))
#define PUT(to, v) svst1_f32(svptrue_b32(), (float *)(to), v)
SPIN(spin_fp32)
#undef VECTOR
#undef OPERAND
#undef GET
#undef PUT
#define VECTOR svfloat64_t
#define OPERAND svfloat64_t
#define GET(type, from) svld1_f64(svptrue_b64(), (const double *)(from))
#define PUT(to, v) svst1_f64(svptrue_b64(), (double *)(to), v)
SPIN(spin_fp64)

#else

#define GET(type, from) ({ type value; memcpy(&value, from, WIDTH); value; })
#define PUT(to, v) memcpy(to, &v, WIDTH)
#define STEP(v, multiplier, addend) ((v) * (multiplier) + (addend)) /* contracted: -ffp-contract=fast */
typedef float vector_fp32 __attribute__((vector_size(WIDTH)));
#define VECTOR vector_fp32
#define OPERAND vector_fp32
SPIN(spin_fp32)
#undef VECTOR
#undef OPERAND
typedef double vector_fp64 __attribute__((vector_size(WIDTH)));
#define VECTOR vector_fp64
#define OPERAND vector_fp64
SPIN(spin_fp64)

#endif
#undef VECTOR
#undef OPERAND
#undef STEP

#if defined(__AVX512BF16__)
#define VECTOR __m512
#define OPERAND __m512bh
#define STEP(v, a, b) _mm512_dpbf16_ps(v, a, b)
SPIN(spin_bf16)
#undef VECTOR
#undef OPERAND
#undef STEP
#endif

#if defined(__AVX512VNNI__)
#define VECTOR __m512i
#define OPERAND __m512i
#define STEP(v, a, b) _mm512_dpbusd_epi32(v, a, b)
SPIN(spin_int8)
#undef VECTOR
#undef OPERAND
#undef STEP
#endif

typedef void (*spin_function)(long, const char *, const char *, char *);

/* The loop for a format, or NULL if this CPU's instruction set has none; `macs` is the multiply-adds per vector. */
static spin_function find(const char *format, int *macs) {
#if !defined(NO_FMA)
    if (!strcmp(format, "fp32")) {
        *macs = WIDTH / 4;
        return spin_fp32;
    }
    if (!strcmp(format, "fp64")) {
        *macs = WIDTH / 8;
        return spin_fp64;
    }
#endif
#if defined(__AVX512BF16__)
    if (!strcmp(format, "bf16")) {
        *macs = WIDTH / 2;
        return spin_bf16;
    }
#endif
#if defined(__AVX512VNNI__)
    if (!strcmp(format, "int8")) {
        *macs = WIDTH;
        return spin_int8;
    }
#endif
    (void)format;
    (void)macs;
    return NULL;
}

/* Multiply-adds per vector, 0 if the format is not available. */
int spin_shape(const char *format, int *accumulators, int *width) {
    int macs = 0;
    *accumulators = ACCUMULATORS;
    *width = WIDTH;
    return find(format, &macs) ? macs : 0;
}

/* Threads that wait between launches: creating them costs more than waking them. The caller is thread 0. */
struct pool {
    pthread_mutex_t mutex;
    pthread_cond_t go, done;
    pthread_t *threads;
    int count, started, running, stop;
    unsigned long launch;
    spin_function function;
    long pairs;
    char constants[3 * WIDEST], start[ACCUMULATORS * WIDEST];
    char *end; /* count x ACCUMULATORS x WIDTH bytes */
};

struct seat {
    struct pool *pool;
    int index;
};

static void work(struct pool *p, int index) {
    p->function(p->pairs, p->constants, p->start, p->end + (size_t)index * ACCUMULATORS * WIDTH);
}

static void *wait_and_work(void *argument) {
    struct seat seat = *(struct seat *)argument;
    struct pool *p = seat.pool;
    unsigned long seen = 0;
    free(argument);
    pthread_mutex_lock(&p->mutex);
    for (;;) {
        while (p->launch == seen && !p->stop) pthread_cond_wait(&p->go, &p->mutex);
        if (p->stop) break;
        seen = p->launch;
        pthread_mutex_unlock(&p->mutex);
        work(p, seat.index);
        pthread_mutex_lock(&p->mutex);
        if (--p->running == 0) pthread_cond_signal(&p->done);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

void spin_close(struct pool *p) {
    pthread_mutex_lock(&p->mutex);
    p->stop = 1;
    pthread_cond_broadcast(&p->go);
    pthread_mutex_unlock(&p->mutex);
    for (int i = 0; i < p->started; i++) pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->go);
    pthread_cond_destroy(&p->done);
    pthread_mutex_destroy(&p->mutex);
    free(p->threads);
    free(p->end);
    free(p);
}

/* NULL if a thread or memory could not be had. */
struct pool *spin_open(const char *format, int count, long pairs, const char *constants, const char *start) {
    int macs = 0;
    spin_function function = find(format, &macs);
    struct pool *p = function ? calloc(1, sizeof *p) : NULL;
    if (!p) return NULL;
    p->function = function;
    p->count = count;
    p->pairs = pairs;
    memcpy(p->constants, constants, (size_t)3 * WIDTH);
    memcpy(p->start, start, (size_t)ACCUMULATORS * WIDTH);
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->go, NULL);
    pthread_cond_init(&p->done, NULL);
    p->threads = calloc((size_t)count, sizeof *p->threads);
    p->end = calloc((size_t)count, (size_t)ACCUMULATORS * WIDTH);
    for (int i = 1; p->threads && p->end && i < count; i++) {
        struct seat *seat = malloc(sizeof *seat);
        if (!seat) break;
        *seat = (struct seat){p, i};
        if (pthread_create(&p->threads[p->started], NULL, wait_and_work, seat)) {
            free(seat);
            break;
        }
        p->started++;
    }
    if (!p->threads || !p->end || p->started != count - 1) {
        spin_close(p);
        return NULL;
    }
    return p;
}

/* One launch: every thread runs all its pairs; returns when the last one is done. */
void spin_run(struct pool *p) {
    pthread_mutex_lock(&p->mutex);
    p->launch++;
    p->running = p->started;
    pthread_cond_broadcast(&p->go);
    pthread_mutex_unlock(&p->mutex);
    work(p, 0);
    pthread_mutex_lock(&p->mutex);
    while (p->running) pthread_cond_wait(&p->done, &p->mutex);
    pthread_mutex_unlock(&p->mutex);
}

/* What the last launch left: count x ACCUMULATORS x WIDTH bytes. */
const char *spin_end(const struct pool *p) { return p->end; }
