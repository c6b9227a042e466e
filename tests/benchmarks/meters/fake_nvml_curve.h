/* The true power of a stand-in board on CLOCK_MONOTONIC, and its energy: in closed form but for a live load.

   FAKE_NVML_W            watts of a constant curve (400)
   FAKE_NVML_CURVE        square:LOW:HIGH:PERIOD_S:DUTY     from LOW to HIGH at each period's begin, for DUTY of it
                          steps:T0:W0:T1:W1:...             each level holds until the next
                          csv:PATH                          lines "seconds,watts", straight between them
                          load:PATH:LOW:HIGH                a double of 0 to 1 at the begin of a mapped file of 16 bytes
   FAKE_NVML_ORIGIN_NS    zero of the curve on CLOCK_MONOTONIC (when the library was initialised) */
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static double number(const char *name, double otherwise) {
    const char *text = getenv(name);
    return text && *text ? atof(text) : otherwise;
}
static double monotonic(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}
static double began; /* when the library was initialised */
static double origin(void) { return number("FAKE_NVML_ORIGIN_NS", began * 1e9) * 1e-9; }
static double seconds(void) { return monotonic() - origin(); } /* on the curve's clock */
static double age(void) { return monotonic() - began; }

/* Points in time order with the energy up to each; a live load adds one each millisecond for an hour and more. */
#define MOST 4000000
enum { STEPS, LINES, SQUARE };
static int shape;
static double low_w, high_w, period_s, duty, *at, *watts, *joules;
static volatile const double *load;
static size_t points;

static void point(double t, double w) {
    size_t n = points;
    at[n] = t, watts[n] = w;
    if (n) joules[n] = joules[n - 1] + (t - at[n - 1]) * (shape == LINES ? (watts[n - 1] + w) / 2 : watts[n - 1]);
    __atomic_store_n(&points, n + 1, __ATOMIC_RELEASE);
}
static double load_w(void) { return low_w + (high_w - low_w) * fmin(fmax(*load, 0), 1); }
static void *follow(void *unused) {
    struct timespec pause = {0, 1000000};
    while (points < MOST) nanosleep(&pause, NULL), point(seconds(), load_w());
    return unused;
}
static void fail(const char *what) {
    fprintf(stderr, "FAKE_NVML_CURVE: %s\n", what);
    abort();
}
static double next(char **rest) {
    char *word = strsep(rest, ":");
    return word ? atof(word) : (fail("too few numbers"), 0);
}
static void read_curve(void) {
    const char *curve = getenv("FAKE_NVML_CURVE");
    char *text = strdup(curve && *curve ? curve : "steps"), *rest = text, *kind = strsep(&rest, ":");
    /* pages that are never touched take no memory */
    at = calloc(MOST, sizeof *at), watts = calloc(MOST, sizeof *watts), joules = calloc(MOST, sizeof *joules);
    if (!curve || !*curve) {
        point(0, number("FAKE_NVML_W", 400));
    } else if (!strcmp(kind, "square")) {
        shape = SQUARE, low_w = next(&rest), high_w = next(&rest), period_s = next(&rest), duty = next(&rest);
    } else if (!strcmp(kind, "steps")) {
        while (rest) {
            double t = next(&rest);
            point(t, next(&rest));
        }
    } else if (!strcmp(kind, "csv")) {
        shape = LINES;
        FILE *file = fopen(rest, "r");
        double t, w;
        char line[256];
        if (!file) fail("no such CSV");
        while (fgets(line, sizeof line, file))
            if (sscanf(line, "%lf,%lf", &t, &w) == 2) point(t, w); /* a heading is no number */
        fclose(file);
    } else if (!strcmp(kind, "load")) {
        shape = LINES;
        int file = open(strsep(&rest, ":"), O_RDONLY);
        void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, 16, PROT_READ, MAP_SHARED, file, 0);
        if (mapped == MAP_FAILED) fail("no such load file");
        load = mapped, low_w = next(&rest), high_w = next(&rest);
        point(seconds(), load_w());
        pthread_t thread;
        pthread_create(&thread, NULL, follow, NULL);
    } else fail("unknown shape");
    if (shape != SQUARE && !points) fail("no points");
    free(text);
}
static pthread_once_t curve_read = PTHREAD_ONCE_INIT;

/* True joules from the curve's begin to t; only differences mean something. */
static double true_j(double t) {
    pthread_once(&curve_read, read_curve);
    if (shape == SQUARE) {
        double whole = floor(t / period_s), part = t - whole * period_s, on = duty * period_s;
        return whole * (high_w * on + low_w * (period_s - on)) + high_w * fmin(part, on) + low_w * fmax(part - on, 0);
    }
    size_t low = 0, high = __atomic_load_n(&points, __ATOMIC_ACQUIRE), last = high - 1;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (at[middle] <= t) low = middle;
        else high = middle;
    }
    double past = t - at[low], slope = 0; /* before the first point its level holds, after the last too */
    if (shape == LINES && past > 0 && low < last) slope = (watts[low + 1] - watts[low]) / (at[low + 1] - at[low]);
    return joules[low] + past * (watts[low] + slope * past / 2);
}
/* The latest moment that the curve is known for: now, but for a live load its last point. */
static double known(double t) {
    pthread_once(&curve_read, read_curve);
    return load ? fmin(t, at[__atomic_load_n(&points, __ATOMIC_ACQUIRE) - 1]) : t;
}
double fake_nvml_true_j(long long start_ns, long long end_ns) { /* of board 0, the rest of a module aside */
    return true_j(end_ns * 1e-9 - origin()) - true_j(start_ns * 1e-9 - origin());
}
double fake_nvml_true_energy_j(long long start_ns, long long end_ns) { return fake_nvml_true_j(start_ns, end_ns); }
