/* A libnvidia-ml.so.1 whose truth is known, for the unmodified nvidia-ml-py and whatever else loads it.

   The board draws a true power P(t) on CLOCK_MONOTONIC; a sensor sees the mean of the last window of each period, a
   counter is renewed with a period of its own. Everything is set by the environment:
   FAKE_NVML_W            watts of a constant curve (400)
   FAKE_NVML_CURVE        square:LOW:HIGH:PERIOD_S:DUTY  or  steps:T0:W0:T1:W1:...  (seconds since FAKE_NVML_ORIGIN_NS)
   FAKE_NVML_ORIGIN_NS    zero of the curve on CLOCK_MONOTONIC (when the library was initialised)
   FAKE_NVML_PERIOD_S     the sensor's period (0.1), FAKE_NVML_WINDOW_S what it sees of it (0.1), FAKE_NVML_PHASE_S
   FAKE_NVML_COUNTER_S    the counter's period (0.1); FAKE_NVML_COUNTER_SAMPLED=1: it adds up the sensor's samples
   FAKE_NVML_GAIN         of sensor and counter (1)
   FAKE_NVML_NO_ENERGY    no counter; FAKE_NVML_MODULE_ONLY: scope GPU is refused, the counter is the module's (C2C)
   FAKE_NVML_LOST_AFTER_S, FAKE_NVML_BACK_AFTER_S   the board is lost, and comes back
   FAKE_NVML_RESET_AFTER_S, FAKE_NVML_FROZEN_AFTER_S, FAKE_NVML_GARBAGE_AFTER_S, FAKE_NVML_SLOW_AFTER_S (2 s a call)
   FAKE_NVML_POWER_CAP, FAKE_NVML_HW_THERMAL        fractions of time throttled
   FAKE_NVML_OTHER_PID    another process on the board; FAKE_NVML_MIG=1
   Built with -DOLD_DRIVER it lacks field values, and with them everything newer than 2018. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef int nvmlReturn_t;
typedef void *nvmlDevice_t;
enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, LOST = 15 };

static double number(const char *name, double otherwise) {
    const char *text = getenv(name);
    return text && *text ? atof(text) : otherwise;
}
static double monotonic(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}
static double began;
static double origin(void) { return number("FAKE_NVML_ORIGIN_NS", began * 1e9) * 1e-9; }
static double seconds(void) { return monotonic() - origin(); } /* on the curve's clock */
static double age(void) { return monotonic() - began; }        /* since the library was initialised */
static int after(const char *name) { return age() > number(name, 1e18); }

/* True joules from 0 to t, in closed form. */
static double true_j(double t) {
    const char *curve = getenv("FAKE_NVML_CURVE");
    if (!curve || !*curve) return number("FAKE_NVML_W", 400) * t;
    char text[4096], *rest = text;
    strncpy(text, curve, sizeof text - 1);
    text[sizeof text - 1] = 0;
    const char *kind = strsep(&rest, ":");
    if (!strcmp(kind, "square")) {
        double low = atof(strsep(&rest, ":")), high = atof(strsep(&rest, ":"));
        double period = atof(strsep(&rest, ":")), duty = atof(strsep(&rest, ":"));
        double whole = floor(t / period), part = t - whole * period, on = duty * period;
        return whole * (high * on + low * (period - on)) + high * fmin(part, on) + low * fmax(part - on, 0);
    }
    double sum = 0, at = atof(strsep(&rest, ":")), watts = atof(strsep(&rest, ":"));
    if (t < at) return watts * t; /* before the first step its level holds */
    sum = watts * at;
    while (rest) {
        double next = atof(strsep(&rest, ":")), level = atof(strsep(&rest, ":"));
        if (t < next) break;
        sum += watts * (next - at), at = next, watts = level;
    }
    return sum + watts * (t - at);
}
double fake_nvml_true_j(long long start_ns, long long end_ns) {
    return true_j(end_ns * 1e-9 - origin()) - true_j(start_ns * 1e-9 - origin());
}

static double renewed(double t, double period) {
    double phase = number("FAKE_NVML_PHASE_S", 0);
    return floor((t - phase) / period) * period + phase;
}
static double moment(void) {
    return after("FAKE_NVML_FROZEN_AFTER_S") ? seconds() - age() + number("FAKE_NVML_FROZEN_AFTER_S", 0) : seconds();
}
static double mean_w(double t, double window) { return (true_j(t) - true_j(t - window)) / window; }
static double sensor_w(double t) {
    double period = number("FAKE_NVML_PERIOD_S", 0.1);
    return number("FAKE_NVML_GAIN", 1) * mean_w(renewed(t, period), number("FAKE_NVML_WINDOW_S", 0.1));
}
static double counter_j(double t) {
    double tick = renewed(t, number("FAKE_NVML_COUNTER_S", 0.1));
    if (!getenv("FAKE_NVML_COUNTER_SAMPLED")) return number("FAKE_NVML_GAIN", 1) * true_j(tick);
    double period = number("FAKE_NVML_PERIOD_S", 0.1), sum = 0;
    for (double at = renewed(0, period); at < tick; at += period) sum += sensor_w(at + 1e-9) * period;
    return sum;
}
/* What every reading meets first. */
static nvmlReturn_t trouble(void) {
    if (after("FAKE_NVML_SLOW_AFTER_S")) sleep(2);
    return after("FAKE_NVML_LOST_AFTER_S") && !after("FAKE_NVML_BACK_AFTER_S") ? LOST : OK;
}

nvmlReturn_t nvmlInitWithFlags(unsigned flags) {
    if (began == 0) began = monotonic();
    return OK;
}
nvmlReturn_t nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
nvmlReturn_t nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(nvmlReturn_t code) {
    return code == LOST ? "GPU is lost" : code == NOT_SUPPORTED ? "Not Supported" : "error";
}
static int board(nvmlDevice_t device) { return (int)(size_t)device - 1; }
nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count) { return *count = 2, OK; }
nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device) {
    if (index > 1) return INVALID;
    *device = (void *)(size_t)(index + 1);
    return OK;
}
nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned length) {
    strncpy(uuid, board(device) ? "GPU-fake-1" : "GPU-fake-0", length);
    return OK;
}
nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device) {
    for (unsigned index = 0; index < 2; index++) {
        char known[32];
        nvmlDeviceGetHandleByIndex_v2(index, device);
        nvmlDeviceGetUUID(*device, known, sizeof known);
        if (!strcmp(uuid, known)) return OK;
    }
    return NOT_FOUND;
}
static nvmlReturn_t text(char *out, unsigned length, const char *value) { return strncpy(out, value, length), OK; }
nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *out, unsigned n) { return text(out, n, "Fake H100"); }
nvmlReturn_t nvmlSystemGetDriverVersion(char *out, unsigned n) { return text(out, n, "999.01"); }
nvmlReturn_t nvmlDeviceGetVbiosVersion(nvmlDevice_t device, char *out, unsigned n) { return text(out, n, "96.00.01"); }

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned *milliwatt) {
    nvmlReturn_t wrong = trouble();
    if (wrong) return wrong;
    *milliwatt = (unsigned)lround(1000 * number("FAKE_NVML_GAIN", 1) * mean_w(renewed(moment(), 0.1), 1.0));
    return OK;
}
nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *millijoule) {
    if (getenv("FAKE_NVML_NO_ENERGY")) return NOT_SUPPORTED;
    nvmlReturn_t wrong = trouble();
    if (wrong) return wrong;
    double base = after("FAKE_NVML_RESET_AFTER_S") ? -counter_j(seconds() - age()) : 5e6;
    *millijoule = (unsigned long long)(1000 * (base + counter_j(moment())));
    if (after("FAKE_NVML_GARBAGE_AFTER_S")) *millijoule = 0xFFFFFFFFFFFFull * (unsigned long long)rand();
    return OK;
}

#ifndef OLD_DRIVER
typedef struct {
    unsigned id, scope;
    long long timestamp, latency;
    int type;
    nvmlReturn_t code;
    union { double d; unsigned u; unsigned long ul; unsigned long long ull; } value;
} Field;
nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, Field *fields) {
    nvmlReturn_t wrong = trouble();
    if (wrong) return wrong;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    for (Field *f = fields; f < fields + count; f++) {
        double watts = -1, fraction = -1;
        f->timestamp = now.tv_sec * 1000000LL + now.tv_nsec / 1000;
        f->code = OK;
        if (f->id == 186) watts = sensor_w(moment());
        if (f->id == 185) watts = number("FAKE_NVML_GAIN", 1) * mean_w(renewed(moment(), 0.1), 1.0);
        if (f->id == 192 || f->id == 189) watts = 700;
        if (f->id == 74) fraction = number("FAKE_NVML_POWER_CAP", 0);
        if (f->id == 270) fraction = number("FAKE_NVML_HW_THERMAL", 0);
        if (f->id == 269 || f->id == 271 || f->id == 76) fraction = 0;
        if (f->scope == 0 && (f->id == 185 || f->id == 186) && getenv("FAKE_NVML_MODULE_ONLY")) watts = -1;
        if (f->scope == 1) watts = getenv("FAKE_NVML_MODULE_ONLY") ? watts : -1;
        if (f->scope == 2) watts = watts < 0 ? -1 : watts / 5; /* the memory's share */
        if (after("FAKE_NVML_GARBAGE_AFTER_S") && watts >= 0) watts = 4e6;
        if (watts >= 0) f->type = 1, f->value.u = (unsigned)lround(1000 * watts);
        else if (fraction >= 0) f->type = 3, f->value.ull = (unsigned long long)(1e9 * age() * fraction);
        else if (f->id == 82) f->type = 1, f->value.u = 70;
        else f->code = NOT_SUPPORTED;
    }
    return OK;
}
nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor) {
    return *major = 9, *minor = 0, OK;
}
nvmlReturn_t nvmlDeviceGetArchitecture(nvmlDevice_t device, unsigned *architecture) { return *architecture = 9, OK; }
nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, unsigned *mw) { return *mw = 700000, OK; }
nvmlReturn_t nvmlDeviceGetPowerManagementLimit(nvmlDevice_t device, unsigned *mw) { return *mw = 700000, OK; }
nvmlReturn_t nvmlDeviceGetPowerManagementDefaultLimit(nvmlDevice_t device, unsigned *mw) { return *mw = 700000, OK; }
nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t device, unsigned *low, unsigned *high) {
    return *low = 200000, *high = 700000, OK;
}
nvmlReturn_t nvmlDeviceGetPersistenceMode(nvmlDevice_t device, int *on) { return *on = 1, OK; }
nvmlReturn_t nvmlDeviceGetEccMode(nvmlDevice_t device, int *current, int *pending) { return *current = *pending = 1, OK; }
nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, int type, int counter, unsigned long long *count) {
    return *count = type ? 0 : 2, OK;
}
nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned *current, unsigned *pending) {
    if (!getenv("FAKE_NVML_MIG")) return NOT_SUPPORTED;
    return *current = *pending = 1, OK;
}
nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, int domain, unsigned *mhz) {
    return *mhz = domain == 2 ? 2619 : 1755, OK;
}
nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, int sensor, unsigned *c) { return *c = 60, OK; }
typedef struct { unsigned version; int sensor, c; } Temperature;
nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, Temperature *t) { return t->c = 60, OK; }
typedef struct { unsigned c2c; } C2c;
nvmlReturn_t nvmlDeviceGetC2cModeInfoV(nvmlDevice_t device, C2c *info) {
    if (!getenv("FAKE_NVML_MODULE_ONLY")) return NOT_SUPPORTED;
    return info->c2c = 1, OK;
}
typedef struct { unsigned pid; unsigned long long memory; unsigned gpu, compute; } Process;
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned *count, Process *out) {
    unsigned room = *count;
    *count = getenv("FAKE_NVML_OTHER_PID") ? 2 : 1;
    if (room < *count) return TOO_SMALL;
    out[0].pid = getpid();
    if (*count == 2) out[1].pid = (unsigned)number("FAKE_NVML_OTHER_PID", 1);
    return OK;
}
#endif
