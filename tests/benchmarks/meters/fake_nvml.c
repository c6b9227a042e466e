/* A libnvidia-ml.so.1 whose truth is known, for the unmodified nvidia-ml-py and whatever else loads it.

   A sensor sees the mean of the last window of each of its periods, a counter is renewed with a period of its own.
   Everything is set by the environment; the curve as fake_nvml_curve.h says, and:
   FAKE_NVML_PERIOD_S     the sensor's period (0.1), FAKE_NVML_WINDOW_S what it sees of it (0.1), FAKE_NVML_PHASE_S
   FAKE_NVML_COUNTER_S    the counter's period (0.1); FAKE_NVML_COUNTER_SAMPLED=1: it adds up the sensor's samples
   FAKE_NVML_COUNTER_J    what it shows at the curve's zero (5e6)
   FAKE_NVML_GAIN         of sensor and counter (1), FAKE_NVML_OFFSET_W (0)
   FAKE_NVML_CAPABILITY   8.0: no mean of one second before 8.6 (9.0)
   FAKE_NVML_BOARDS       how many (2); board N draws FAKE_NVML_SHARE_N of the curve (1) and is GPU-fake-N
   FAKE_NVML_C2C          a superchip: the counter is the module's, which draws FAKE_NVML_MODULE_W (0) more
   FAKE_NVML_MODULE_ONLY  ... and scope GPU is refused. The memory draws FAKE_NVML_MEMORY_SHARE (0.2) of a board
   FAKE_NVML_MIG          1: slices MIG-fake-N-M, which have no power; 0: not partitioned, but could be
   FAKE_NVML_NO_ENERGY    no counter, as call and as field
   FAKE_NVML_FIELD_N      the return code of field N; FAKE_NVML_ENERGY_CODE that of the counter's call
   FAKE_NVML_INIT_CODE, FAKE_NVML_CODE (of every call from FAKE_NVML_CODE_AFTER_S on)
   FAKE_NVML_UNKNOWN_EVERY   every Nth reading is 999
   FAKE_NVML_LOST_AFTER_S, FAKE_NVML_BACK_AFTER_S   the board is lost, and comes back
   FAKE_NVML_RESET_AFTER_S, FAKE_NVML_FROZEN_AFTER_S, FAKE_NVML_GARBAGE_AFTER_S (.._UNTIL_S)
   FAKE_NVML_SLOW_AFTER_S (FAKE_NVML_SLOW_S a call, 2)
   FAKE_NVML_POWER_CAP, .._SW_THERMAL, .._HW_THERMAL, .._POWER_BRAKE, .._SYNC_BOOST   fractions of time throttled
   FAKE_NVML_LIMIT_W, .._DEFAULT_W, .._MIN_W, .._MAX_W, .._MODULE_LIMIT_W
   FAKE_NVML_SET_CODE     the return code of setting the limit (0)
   FAKE_NVML_SM_MHZ, .._MEMORY_MHZ, .._GPU_C, .._MEMORY_C
   FAKE_NVML_ECC_AFTER_S  an uncorrected error more; FAKE_NVML_OTHER_PID another process on the board
   FAKE_NVML_REMAPPED_COR, .._REMAPPED_UNC, .._REMAP_PENDING, .._REMAP_FAILURE, .._RETIRED_SBE, .._RETIRED_DBE (0)
   FAKE_NVML_PCIE_GEN (5), .._PCIE_GEN_MAX (5), .._PCIE_WIDTH (16), .._PCIE_WIDTH_MAX (16)
   FAKE_NVML_LINKS (0) of NVLink, FAKE_NVML_LINKS_UP of them active (all)
   FAKE_NVML_ILL_AFTER_S  a PCIe replay more, and on each link as many errors as the number of their counter
   FAKE_NVML_XID=79,63    XIDs, each once, from FAKE_NVML_XID_AFTER_S (0) on
   Times are since the library was initialised. Built with -DNO_ENERGY_CALL, -DNO_FIELD_VALUES, -DNO_STATE or
   -DNO_HEALTH those functions are missing; with -DOLD_DRIVER the latter three are. */
#include "fake_nvml_curve.h"

#ifdef OLD_DRIVER
#define NO_FIELD_VALUES
#define NO_STATE
#define NO_HEALTH
#endif
typedef int nvmlReturn_t;
typedef void *nvmlDevice_t;
enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, LOST = 15, UNKNOWN = 999 };
enum { SLICE = 1000 }; /* a handle is 1 + board, of a slice 1000 more for each */

static int set(const char *name) { return getenv(name) && *getenv(name); }
static int after(const char *name) { return age() > number(name, 1e18); }
static int board(nvmlDevice_t device) { return ((int)(size_t)device - 1) % SLICE; }
static int slice(nvmlDevice_t device) { return ((int)(size_t)device - 1) / SLICE; }
static double numbered(const char *name, int n, double otherwise) {
    char whole[64];
    snprintf(whole, sizeof whole, "%s_%d", name, n);
    return number(whole, otherwise);
}
static int links(void) { return (int)number("FAKE_NVML_LINKS", 0); }
static int superchip(void) { return set("FAKE_NVML_C2C") || set("FAKE_NVML_MODULE_ONLY"); }

/* ---- what sensor and counter make of the curve: of one board, and of what else is in its module */
static double drawn_j(double t, int number_, int module) {
    return numbered("FAKE_NVML_SHARE", number_, 1) * true_j(t) + (module ? number("FAKE_NVML_MODULE_W", 0) * t : 0);
}
static double renewed(double t, double period) {
    double phase = number("FAKE_NVML_PHASE_S", 0);
    return floor((t - phase) / period) * period + phase;
}
static double moment(void) {
    double stop = number("FAKE_NVML_FROZEN_AFTER_S", 1e18);
    return known(fmin(seconds(), seconds() - age() + stop));
}
static double seen_w(double t, double window, int number_, int module) {
    double mean = (drawn_j(t, number_, module) - drawn_j(t - window, number_, module)) / window;
    return number("FAKE_NVML_GAIN", 1) * mean + number("FAKE_NVML_OFFSET_W", 0);
}
static double sensor_w(double t, int number_, int module) {
    double period = number("FAKE_NVML_PERIOD_S", 0.1);
    return seen_w(renewed(t, period), number("FAKE_NVML_WINDOW_S", 0.1), number_, module);
}
static double second_w(double t, int number_, int module) { return seen_w(renewed(t, 0.1), 1.0, number_, module); }
static double counter_j(double t, int number_, int module) {
    double tick = renewed(t, number("FAKE_NVML_COUNTER_S", 0.1));
    if (!set("FAKE_NVML_COUNTER_SAMPLED"))
        return number("FAKE_NVML_GAIN", 1) * drawn_j(tick, number_, module) + number("FAKE_NVML_OFFSET_W", 0) * tick;
    double period = number("FAKE_NVML_PERIOD_S", 0.1), first = renewed(began - origin(), period), sum = 0;
    for (long n = 0; first + n * period < tick - 1e-9; n++) sum += sensor_w(first + n * period + 1e-9, number_, module);
    return sum * period;
}
static double capability(void) { return number("FAKE_NVML_CAPABILITY", 9.0); }
static int has_second(void) { return capability() > 8.55; }
static int garbage(void) { return after("FAKE_NVML_GARBAGE_AFTER_S") && !after("FAKE_NVML_GARBAGE_UNTIL_S"); }

/* ---- what every call meets first */
static nvmlReturn_t state(void) {
    if (set("FAKE_NVML_CODE") && age() > number("FAKE_NVML_CODE_AFTER_S", 0)) return (int)number("FAKE_NVML_CODE", 0);
    return after("FAKE_NVML_LOST_AFTER_S") && !after("FAKE_NVML_BACK_AFTER_S") ? LOST : OK;
}
static nvmlReturn_t trouble(nvmlDevice_t device) {
    static long calls;
    if (after("FAKE_NVML_SLOW_AFTER_S")) usleep((unsigned)(1e6 * number("FAKE_NVML_SLOW_S", 2)));
    long every = (long)number("FAKE_NVML_UNKNOWN_EVERY", 0);
    if (every && __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) % every == 0) return UNKNOWN;
    return state() ? state() : slice(device) ? NOT_SUPPORTED : OK;
}
#define READING(device) { nvmlReturn_t wrong = trouble(device); if (wrong) return wrong; }
#define STATE { nvmlReturn_t wrong = state(); if (wrong) return wrong; }

nvmlReturn_t nvmlInitWithFlags(unsigned flags) {
    if (set("FAKE_NVML_INIT_CODE")) return (int)number("FAKE_NVML_INIT_CODE", 0);
    if (began == 0) began = monotonic();
    known(0); /* a live load is followed from now on */
    return OK;
}
nvmlReturn_t nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
nvmlReturn_t nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(nvmlReturn_t code) {
    return code == LOST ? "GPU is lost" : code == NOT_SUPPORTED ? "Not Supported" : "error";
}

/* ---- boards and slices */
static unsigned boards(void) { return (unsigned)number("FAKE_NVML_BOARDS", 2); }
nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count) { return *count = boards(), OK; }
nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device) {
    if (index >= boards()) return INVALID;
    *device = (void *)(size_t)(index + 1);
    return OK;
}
nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned length) {
    if (slice(device)) snprintf(uuid, length, "MIG-fake-%d-%d", board(device), slice(device));
    else snprintf(uuid, length, "GPU-fake-%d", board(device));
    return OK;
}
nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device) {
    unsigned index, part = 0;
    if (number("FAKE_NVML_MIG", 0) && sscanf(uuid, "MIG-fake-%u-%u", &index, &part) == 2 && part > 0 && part < 8) {
    } else if (sscanf(uuid, "GPU-fake-%u", &index) != 1) return NOT_FOUND;
    if (index >= boards()) return NOT_FOUND;
    *device = (void *)(size_t)(1 + index + SLICE * part);
    return OK;
}
#ifndef NO_STATE
nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned *is) { return *is = slice(device) > 0, OK; }
nvmlReturn_t nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t device, nvmlDevice_t *whole) {
    return *whole = (void *)(size_t)(1 + board(device)), OK;
}
nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned *current, unsigned *pending) {
    if (!set("FAKE_NVML_MIG")) return NOT_SUPPORTED;
    return *current = *pending = (unsigned)number("FAKE_NVML_MIG", 0), OK;
}
#endif
static nvmlReturn_t text(char *out, unsigned n, const char *value) { return snprintf(out, n, "%s", value), OK; }
nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *out, unsigned n) { return text(out, n, "Fake H100"); }
nvmlReturn_t nvmlSystemGetDriverVersion(char *out, unsigned n) { return text(out, n, "999.01"); }
nvmlReturn_t nvmlDeviceGetVbiosVersion(nvmlDevice_t device, char *out, unsigned n) { return text(out, n, "96.00.01"); }

/* ---- power and energy */
nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned *milliwatt) {
    READING(device)
    double w = (has_second() ? second_w : sensor_w)(moment(), board(device), 0);
    *milliwatt = garbage() ? 4000000000u : (unsigned)lround(1000 * w);
    return OK;
}
static unsigned long long counted_mj(nvmlDevice_t device) {
    int one = board(device), module = superchip();
    double base = number("FAKE_NVML_COUNTER_J", 5e6);
    if (after("FAKE_NVML_RESET_AFTER_S"))
        base = -counter_j(seconds() - age() + number("FAKE_NVML_RESET_AFTER_S", 0), one, module);
    if (garbage()) return 0xFFFFFFFFFFFFull * (unsigned long long)(1 + rand() % 9);
    return (unsigned long long)(1000 * (base + counter_j(moment(), one, module)));
}
#ifndef NO_ENERGY_CALL
nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *millijoule) {
    if (set("FAKE_NVML_NO_ENERGY")) return NOT_SUPPORTED;
    if (set("FAKE_NVML_ENERGY_CODE")) return (int)number("FAKE_NVML_ENERGY_CODE", 0);
    READING(device)
    return *millijoule = counted_mj(device), OK;
}
#endif
#ifndef NO_FIELD_VALUES
typedef struct {
    unsigned id, scope;
    long long timestamp, latency;
    int type;
    nvmlReturn_t code;
    union { double d; unsigned u; unsigned long ul; unsigned long long ull; } value;
} Field;
static double throttled(unsigned id) { /* the fraction of time; -1: not that field */
    return id == 74 ? number("FAKE_NVML_POWER_CAP", 0) : id == 269 ? number("FAKE_NVML_SW_THERMAL", 0)
         : id == 270 ? number("FAKE_NVML_HW_THERMAL", 0) : id == 271 ? number("FAKE_NVML_POWER_BRAKE", 0)
         : id == 76 ? number("FAKE_NVML_SYNC_BOOST", 0) : -1;
}
static long total(unsigned id) { /* over all links; -1: not that field */
    unsigned of[] = {52, 59, 38, 45};
    if (id == 91) return links();
    for (int counter = 0; counter < 4; counter++)
        if (of[counter] == id) return links() ? links() * (counter + 1) * after("FAKE_NVML_ILL_AFTER_S") : -1;
    return -1;
}
static double power_w(unsigned id, unsigned scope, int one) { /* -1: not in this scope */
    if (scope > 2 || (id == 185 && !has_second())) return -1;
    if (scope == 1 && !superchip()) return -1;
    if (scope == 0 && set("FAKE_NVML_MODULE_ONLY")) return -1;
    if (id == 190) return scope == 1 ? number("FAKE_NVML_MODULE_LIMIT_W", -1) : number("FAKE_NVML_LIMIT_W", 700);
    double w = (id == 185 ? second_w : sensor_w)(moment(), one, scope == 1);
    return garbage() ? 4e6 : scope == 2 ? w * number("FAKE_NVML_MEMORY_SHARE", 0.2) : w;
}
nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, Field *fields) {
    READING(device)
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    for (Field *f = fields; f < fields + count; f++) {
        f->timestamp = now.tv_sec * 1000000LL + now.tv_nsec / 1000;
        f->code = (int)numbered("FAKE_NVML_FIELD", (int)f->id, OK);
        if (f->code) continue;
        int is_power = f->id == 185 || f->id == 186 || f->id == 190;
        double w = is_power ? power_w(f->id, f->scope, board(device)) : -1;
        int is_energy = (f->id == 83 || f->id == 191) && !set("FAKE_NVML_NO_ENERGY");
        double part = throttled(f->id);
        f->type = part >= 0 || is_energy ? 3 : 1;
        if (w >= 0) f->value.u = (unsigned)lround(1000 * w);
        else if (part >= 0) f->value.ull = (unsigned long long)(1e9 * age() * part);
        else if (is_energy) f->value.ull = counted_mj(device);
        else if (total(f->id) >= 0) f->value.u = (unsigned)total(f->id);
        else if (f->id == 82) f->value.u = (unsigned)number("FAKE_NVML_MEMORY_C", 70);
        else f->code = NOT_SUPPORTED;
        if (f->id == 186 && set("FAKE_NVML_TYPE")) f->type = (int)number("FAKE_NVML_TYPE", 1);
    }
    return OK;
}
#endif

/* ---- the state beside the power */
#ifndef NO_STATE
#define GIVE(target, name, otherwise, scale) \
    { STATE return *(target) = (unsigned)((scale) * number(name, otherwise)), OK; }
nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor) {
    *major = (int)capability(), *minor = (int)lround(10 * (capability() - *major));
    return OK;
}
nvmlReturn_t nvmlDeviceGetArchitecture(nvmlDevice_t device, unsigned *architecture) { return *architecture = 9, OK; }
static unsigned set_mw[64]; /* by board; 0: what the environment says */
nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t d, unsigned *mw) {
    if (set_mw[board(d)]) return *mw = set_mw[board(d)], OK;
    GIVE(mw, "FAKE_NVML_LIMIT_W", 700, 1000)
}
nvmlReturn_t nvmlDeviceGetPowerManagementLimit(nvmlDevice_t d, unsigned *mw) {
    return nvmlDeviceGetEnforcedPowerLimit(d, mw);
}
nvmlReturn_t nvmlDeviceSetPowerManagementLimit(nvmlDevice_t d, unsigned mw) {
    if (set("FAKE_NVML_SET_CODE")) return (int)number("FAKE_NVML_SET_CODE", 0);
    return set_mw[board(d)] = mw, OK;
}
nvmlReturn_t nvmlDeviceGetPowerManagementDefaultLimit(nvmlDevice_t d, unsigned *mw) {
    GIVE(mw, "FAKE_NVML_DEFAULT_W", 700, 1000)
}
nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t d, unsigned *low, unsigned *high) {
    *low = (unsigned)(1000 * number("FAKE_NVML_MIN_W", 200));
    GIVE(high, "FAKE_NVML_MAX_W", 700, 1000)
}
nvmlReturn_t nvmlDeviceGetPersistenceMode(nvmlDevice_t device, int *on) { return *on = 1, OK; }
nvmlReturn_t nvmlDeviceGetComputeMode(nvmlDevice_t device, int *mode) { return *mode = 3, OK; }
nvmlReturn_t nvmlDeviceGetEccMode(nvmlDevice_t d, int *current, int *pending) { return *current = *pending = 1, OK; }
nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, int type, int counter, unsigned long long *count) {
    STATE
    return *count = type ? after("FAKE_NVML_ECC_AFTER_S") : 2, OK;
}
nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, int domain, unsigned *mhz) {
    if (domain == 2) GIVE(mhz, "FAKE_NVML_MEMORY_MHZ", 2619, 1)
    GIVE(mhz, "FAKE_NVML_SM_MHZ", 1755, 1)
}
nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t d, int sensor, unsigned *c) { GIVE(c, "FAKE_NVML_GPU_C", 60, 1) }
typedef struct { unsigned version; int sensor, c; } Temperature;
nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t d, Temperature *t) { GIVE(&t->c, "FAKE_NVML_GPU_C", 60, 1) }
typedef struct { unsigned c2c; } C2c;
nvmlReturn_t nvmlDeviceGetC2cModeInfoV(nvmlDevice_t device, C2c *info) {
    if (!superchip() || set("FAKE_NVML_NO_C2C_CALL")) return NOT_SUPPORTED;
    return info->c2c = 1, OK;
}
typedef struct { unsigned pid; unsigned long long memory; unsigned gpu, compute; } Process;
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned *count, Process *out) {
    STATE
    unsigned room = *count;
    *count = set("FAKE_NVML_OTHER_PID") ? 2 : 1;
    if (room < *count) return TOO_SMALL;
    out[0].pid = getpid();
    if (*count == 2) out[1].pid = (unsigned)number("FAKE_NVML_OTHER_PID", 1);
    return OK;
}
#endif

/* ---- health: memory repaired, links, XIDs */
#ifndef NO_HEALTH
nvmlReturn_t nvmlDeviceGetRemappedRows(nvmlDevice_t d, unsigned *cor, unsigned *unc, unsigned *pending, unsigned *bad) {
    STATE
    if (set("FAKE_NVML_NO_REMAP")) return NOT_SUPPORTED;
    *cor = (unsigned)number("FAKE_NVML_REMAPPED_COR", 0), *unc = (unsigned)number("FAKE_NVML_REMAPPED_UNC", 0);
    *pending = (unsigned)number("FAKE_NVML_REMAP_PENDING", 0), *bad = (unsigned)number("FAKE_NVML_REMAP_FAILURE", 0);
    return OK;
}
nvmlReturn_t nvmlDeviceGetRetiredPages(nvmlDevice_t d, int cause, unsigned *count, unsigned long long *pages) {
    STATE
    unsigned room = *count;
    *count = (unsigned)number(cause ? "FAKE_NVML_RETIRED_DBE" : "FAKE_NVML_RETIRED_SBE", 0);
    if (room < *count) return TOO_SMALL;
    for (unsigned n = 0; pages && n < *count; n++) pages[n] = n << 16;
    return OK;
}
nvmlReturn_t nvmlDeviceGetRetiredPagesPendingStatus(nvmlDevice_t d, unsigned *is) { return *is = 0, OK; }
nvmlReturn_t nvmlDeviceGetCurrPcieLinkGeneration(nvmlDevice_t d, unsigned *n) { GIVE(n, "FAKE_NVML_PCIE_GEN", 5, 1) }
nvmlReturn_t nvmlDeviceGetMaxPcieLinkGeneration(nvmlDevice_t d, unsigned *n) { GIVE(n, "FAKE_NVML_PCIE_GEN_MAX", 5, 1) }
nvmlReturn_t nvmlDeviceGetCurrPcieLinkWidth(nvmlDevice_t d, unsigned *n) { GIVE(n, "FAKE_NVML_PCIE_WIDTH", 16, 1) }
nvmlReturn_t nvmlDeviceGetMaxPcieLinkWidth(nvmlDevice_t d, unsigned *n) { GIVE(n, "FAKE_NVML_PCIE_WIDTH_MAX", 16, 1) }
nvmlReturn_t nvmlDeviceGetPcieReplayCounter(nvmlDevice_t d, unsigned *n) {
    STATE
    return *n = 3 + after("FAKE_NVML_ILL_AFTER_S"), OK;
}
nvmlReturn_t nvmlDeviceGetNvLinkState(nvmlDevice_t d, unsigned link, unsigned *up) {
    STATE
    return *up = link < number("FAKE_NVML_LINKS_UP", links()), (int)link < links() ? OK : INVALID;
}
nvmlReturn_t nvmlDeviceGetNvLinkErrorCounter(nvmlDevice_t d, unsigned link, int counter, unsigned long long *n) {
    STATE
    return *n = (unsigned)(counter + 1) * after("FAKE_NVML_ILL_AFTER_S"), OK;
}
typedef struct { nvmlDevice_t device; unsigned long long type, data; unsigned instance, compute; } Event;
static nvmlDevice_t heard;
nvmlReturn_t nvmlEventSetCreate(void **events) {
    if (set("FAKE_NVML_NO_EVENTS")) return NOT_SUPPORTED;
    return *events = &heard, OK;
}
nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types, void *events) {
    return heard = device, types & 8 ? OK : INVALID;
}
nvmlReturn_t nvmlEventSetWait_v2(void *events, Event *out, unsigned timeout_ms) {
    static unsigned told;
    const char *next = getenv("FAKE_NVML_XID");
    STATE
    for (unsigned n = 0; next && n < told; n++) next = strchr(next + 1, ',');
    if (!next || !*next || age() < number("FAKE_NVML_XID_AFTER_S", 0)) return 10;
    told++;
    *out = (Event){heard, 8, strtoull(next + (*next == ','), NULL, 10), 0, 0};
    return OK;
}
#endif
