/* A Level Zero loader whose truth is known: two devices of 300 and 301 W, each with a tile inside its card.
   FAKE_ZE_ERROR: what reading a counter returns; FAKE_ZE_RESET_AFTER_S: the counters begin anew. -DOLD: no zesInit. */
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static int driver, devices[2], cards[2], tiles[2];
static double began;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}
static int list(uint32_t *count, void **out, void **all, uint32_t size) {
    if (out) for (uint32_t i = 0; i < size && i < *count; i++) out[i] = all[i];
    *count = size;
    return 0;
}
#ifdef OLD
int zeInit(uint32_t flags) { return began = now(), getenv("ZES_ENABLE_SYSMAN") ? 0 : 0x78000001; }
#else
int zesInit(uint32_t flags) { return began = now(), 0; }
#endif
int zesDriverGet(uint32_t *count, void **out) { void *all[] = {&driver}; return list(count, out, all, 1); }
int zesDeviceGet(void *owner, uint32_t *count, void **out) {
    void *all[] = {&devices[0], &devices[1]};
    return list(count, out, all, 2);
}
int zesDeviceEnumPowerDomains(void *device, uint32_t *count, void **out) {
    int i = (int *)device - devices;
    void *all[] = {&tiles[i], &cards[i]};
    return list(count, out, all, 2);
}
typedef struct { int32_t type; void *next; char on_subdevice; uint32_t id; char control, threshold; int32_t mw, low, high; } Power;
int zesPowerGetProperties(int *domain, Power *out) {
    out->on_subdevice = domain >= tiles && domain < tiles + 2;
    out->mw = 600000;
    return 0;
}
typedef struct { int32_t type; void *next; uint32_t domain, bus, device, function; } Pci;
int zesDevicePciGetProperties(int *device, Pci *out) { return out->bus = 0x3a + (device - devices), 0; }
int zesPowerGetEnergyCounter(int *domain, uint64_t *out) {
    const char *error = getenv("FAKE_ZE_ERROR"), *reset = getenv("FAKE_ZE_RESET_AFTER_S");
    if (error) return (int)strtoul(error, NULL, 0);
    int tile = domain >= tiles && domain < tiles + 2;
    double watts = tile ? 111 : 300 + (domain - cards), t = now();
    out[0] = (uint64_t)((reset && t - began > atof(reset) ? t - began : t) * watts * 1e6);
    out[1] = (uint64_t)(t * 1e6);
    return 0;
}
