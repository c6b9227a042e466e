/* A libnvidia-ml.so.1 whose truth is known: constant power, a counter renewed every 100 ms, faults on request.
   FAKE_NVML_W watts, FAKE_NVML_NO_ENERGY, FAKE_NVML_LOST_AFTER_S seconds. Loaded by the unmodified nvidia-ml-py. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef int nvmlReturn_t;
typedef void *nvmlDevice_t;
static struct timespec began;

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - began.tv_sec) + 1e-9 * (now.tv_nsec - began.tv_nsec);
}
static double number(const char *name, double otherwise) {
    const char *text = getenv(name);
    return text ? atof(text) : otherwise;
}
static int lost(void) { return seconds() > number("FAKE_NVML_LOST_AFTER_S", 1e9); }

nvmlReturn_t nvmlInitWithFlags(unsigned flags) {
    if (!began.tv_sec) clock_gettime(CLOCK_MONOTONIC, &began);
    return 0;
}
nvmlReturn_t nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
nvmlReturn_t nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(nvmlReturn_t code) { return code == 15 ? "GPU is lost" : code == 3 ? "Not Supported" : "error"; }
nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device) {
    if (index > 1) return 2;
    *device = (void *)(size_t)(index + 1);
    return 0;
}
nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device) {
    if (strcmp(uuid, "GPU-fake-1")) return 6;
    *device = (void *)2;
    return 0;
}
nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned length) {
    strncpy(uuid, device == (void *)2 ? "GPU-fake-1" : "GPU-fake-0", length);
    return 0;
}
nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned *milliwatt) {
    if (lost()) return 15;
    *milliwatt = (unsigned)(number("FAKE_NVML_W", 400) * 1000);
    return 0;
}
nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *millijoule) {
    if (getenv("FAKE_NVML_NO_ENERGY")) return 3;
    if (lost()) return 15;
    double ticks = (double)(long)(seconds() / 0.1);
    *millijoule = (unsigned long long)(5e9 + number("FAKE_NVML_W", 400) * 1000 * ticks * 0.1);
    return 0;
}
