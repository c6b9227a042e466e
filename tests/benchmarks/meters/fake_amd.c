/* A libamd_smi.so whose truth is known, for the unmodified amdsmi binding.

   Boards lie on buses 0x10, 0x11, ...; each draws FAKE_AMD_W (750) watts plus its number. Set by the environment:
   FAKE_AMD_BOARDS (2), FAKE_AMD_PARTITIONS (1)   a board is listed once for each partition; only partition 0 tells power
   FAKE_AMD_DIES=1         boards 2k and 2k+1 are the dies of one package: one serial, the odd one tells 0
   FAKE_AMD_NO_SERIAL=1    no serial numbers
   FAKE_AMD_HIP_REVERSED=1 HIP numbers devices from the end; FAKE_AMD_NO_HIP=1: no enumeration info (before ROCm 6.4)
   FAKE_AMD_AVERAGE=1      an older board: only the average power; FAKE_AMD_NO_POWER=1: no power at all
   FAKE_AMD_NO_ENERGY=1    the count is not supported; FAKE_AMD_CODE=N: energy and power fail with status N
   FAKE_AMD_RESET_AFTER_S, FAKE_AMD_CODE_AFTER_S, FAKE_AMD_UNKNOWN_AFTER_S   seconds after amdsmi_init
   FAKE_AMD_NO_DRIVER=1    amdsmi_init fails
   FAKE_AMD_PCIE_WIDTH (16 of 16 lanes), FAKE_AMD_BAD_PAGES (0), FAKE_AMD_XGMI (0: no errors), FAKE_AMD_LINKS_DOWN (0)
   FAKE_AMD_ILL_AFTER_S    an uncorrectable error more of the memory (UMC), and a PCIe replay; FAKE_AMD_NO_HEALTH=1
   The other symbols that the binding names are added as stubs that answer NOT_SUPPORTED. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OK = 0, UNSUPPORTED = 2, MOST = 64 };
typedef struct { int board, partition; } Entry;
static Entry entries[MOST];
static double began;

static double number(const char *name, double otherwise) {
    const char *text = getenv(name);
    return text && *text ? atof(text) : otherwise;
}
static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}
static int after(const char *name) { return seconds() - began > number(name, 1e18); }
static int partitions(void) { return (int)number("FAKE_AMD_PARTITIONS", 1); }
static int listed(void) { return (int)number("FAKE_AMD_BOARDS", 2) * partitions(); }
static int place(void *handle) { return (int)((Entry *)handle - entries); }
static double watts(void *handle) { return number("FAKE_AMD_W", 750) + ((Entry *)handle)->board; }
static int silent(void *handle) { return getenv("FAKE_AMD_DIES") && ((Entry *)handle)->board % 2; }
static int trouble(void *handle) {
    if (((Entry *)handle)->partition) return UNSUPPORTED;
    return after("FAKE_AMD_CODE_AFTER_S") || !getenv("FAKE_AMD_CODE_AFTER_S") ? (int)number("FAKE_AMD_CODE", OK) : OK;
}

int amdsmi_init(uint64_t flags) {
    if (getenv("FAKE_AMD_NO_DRIVER")) return 34;
    if (began == 0) began = seconds();
    for (int at = 0; at < listed() && at < MOST; at++) entries[at] = (Entry){at / partitions(), at % partitions()};
    return OK;
}
int amdsmi_shut_down(void) { return OK; }
int amdsmi_get_socket_handles(uint32_t *count, void **handles) {
    for (int at = 0; handles && at < listed(); at++) handles[at] = &entries[at];
    *count = listed();
    return OK;
}
int amdsmi_get_processor_handles(void *socket, uint32_t *count, void **handles) {
    if (handles) handles[0] = socket;
    *count = 1;
    return OK;
}
int amdsmi_get_processor_type(void *handle, uint32_t *type) { return *type = 1, OK; }
int amdsmi_status_code_to_string(int status, const char **text) { return *text = "status", OK; }

int amdsmi_get_gpu_device_bdf(void *handle, uint64_t *bdf) {
    Entry *entry = handle;
    *bdf = (uint64_t)(0x10 + entry->board) << 8 | (uint64_t)entry->partition; /* function 3 bits, device 5, bus 8 */
    return OK;
}
typedef struct { uint32_t render, card, hsa, hip; char uuid[256]; } Enumeration;
int amdsmi_get_gpu_enumeration_info(void *handle, Enumeration *out) {
    if (getenv("FAKE_AMD_NO_HIP")) return UNSUPPORTED;
    memset(out, 0, sizeof *out);
    out->hip = getenv("FAKE_AMD_HIP_REVERSED") ? listed() - 1 - place(handle) : place(handle);
    strcpy(out->uuid, "GPU-00000000000000a0");
    out->uuid[19] = (char)('0' + ((Entry *)handle)->board);
    return OK;
}
typedef struct { uint64_t id; uint32_t node, partition, reserved[12]; } Kfd;
int amdsmi_get_gpu_kfd_info(void *handle, Kfd *out) {
    memset(out, 0, sizeof *out);
    out->partition = ((Entry *)handle)->partition;
    return OK;
}
typedef struct __attribute__((packed)) {
    char name[256]; uint32_t vendor; char vendor_name[256]; uint32_t subvendor; uint64_t device; uint32_t revision;
    char serial[256]; uint32_t oam, units, pad; uint64_t target; uint32_t subsystem, reserved[21];
} Asic;
int amdsmi_get_gpu_asic_info(void *handle, Asic *out) {
    int board = ((Entry *)handle)->board;
    memset(out, 0, sizeof *out);
    strcpy(out->name, "Fake Instinct");
    if (getenv("FAKE_AMD_NO_SERIAL")) return OK;
    strcpy(out->serial, "0xA0");
    out->serial[3] = (char)('0' + (getenv("FAKE_AMD_DIES") ? board / 2 : board));
    return OK;
}

int amdsmi_get_energy_count(void *handle, uint64_t *count, float *resolution, uint64_t *stamp) {
    int wrong = getenv("FAKE_AMD_NO_ENERGY") ? UNSUPPORTED : trouble(handle);
    if (wrong) return wrong;
    double base = after("FAKE_AMD_RESET_AFTER_S") ? 0 : 1e6; /* J that passed before the library was initialised */
    *resolution = 15.259f;
    *count = (uint64_t)((base + watts(handle) * (seconds() - began)) * 1e6 / *resolution);
    if (silent(handle)) *count = 0;
    if (after("FAKE_AMD_UNKNOWN_AFTER_S")) *count = UINT64_MAX;
    *stamp = (uint64_t)(seconds() * 1e9);
    return OK;
}
typedef struct { uint64_t socket; uint32_t current, average; uint64_t voltage[3]; uint32_t limit, pad; uint64_t reserved[18]; } Power;
int amdsmi_get_power_info(void *handle, Power *out) {
    int wrong = trouble(handle);
    if (wrong) return wrong;
    memset(out, 0, sizeof *out);
    out->socket = UINT32_MAX, out->current = 0xFFFF, out->average = 0xFFFF;
    if (silent(handle)) out->socket = out->average = 0;
    else if (getenv("FAKE_AMD_AVERAGE")) out->socket = out->average = (uint32_t)watts(handle);
    else if (!getenv("FAKE_AMD_NO_POWER")) out->socket = out->current = (uint32_t)watts(handle);
    if (after("FAKE_AMD_UNKNOWN_AFTER_S")) out->current = UINT32_MAX;
    return OK;
}
typedef struct { uint64_t cap, usual, dpm, least, most, reserved[3]; } Cap;
static uint64_t cap_uw = 900000000;
int amdsmi_get_power_cap_info(void *handle, uint32_t sensor, Cap *out) {
    memset(out, 0, sizeof *out);
    out->cap = cap_uw, out->usual = 1000000000, out->least = 200000000, out->most = 1000000000;
    return OK;
}
int amdsmi_set_power_cap(void *handle, uint32_t sensor, uint64_t uw) {
    if (getenv("FAKE_AMD_SET_CODE")) return atoi(getenv("FAKE_AMD_SET_CODE"));
    return cap_uw = uw, OK;
}
int amdsmi_get_temp_metric(void *handle, int type, int metric, int64_t *degrees) {
    if (type == 0) return UNSUPPORTED; /* no edge sensor, as on MI300 */
    return *degrees = type == 1 ? 65 : 55, OK;
}
typedef struct { uint32_t now, least, most; uint8_t locked, sleep, pad[2]; uint32_t reserved[4]; } Clock;
int amdsmi_get_clock_info(void *handle, int type, Clock *out) {
    memset(out, 0, sizeof *out);
    out->now = type == 0 ? 2100 : UINT32_MAX; /* the memory's is not known */
    return OK;
}
typedef struct __attribute__((packed)) { char name[256]; uint32_t pid, pad; char rest[1]; } Process;
int amdsmi_get_gpu_process_list(void *handle, uint32_t *count, Process *out) {
    *count = 1;
    if (out) out->pid = 100 + ((Entry *)handle)->partition;
    return OK;
}

typedef struct { uint64_t corrected, uncorrected, deferred, reserved[5]; } Errors;
int amdsmi_get_gpu_ecc_count(void *handle, uint64_t block, Errors *out) {
    if (getenv("FAKE_AMD_NO_HEALTH") || block > 4) return UNSUPPORTED; /* UMC and SDMA and GFX alone have RAS */
    memset(out, 0, sizeof *out);
    if (block == 1) out->corrected = 7, out->uncorrected = after("FAKE_AMD_ILL_AFTER_S");
    return OK;
}
typedef struct {
    uint16_t most_width, pad; uint32_t most_speed, version, slot, most_version, pad2; uint64_t reserved[9];
    uint16_t width, pad3; uint32_t speed, bandwidth, pad4;
    uint64_t replays, recovered, rolled, nak_sent, nak_received; uint32_t other, pad5; uint64_t reserved2[12 + 32];
} Pcie;
int amdsmi_get_pcie_info(void *handle, Pcie *out) {
    if (getenv("FAKE_AMD_NO_HEALTH")) return UNSUPPORTED;
    memset(out, 0, sizeof *out);
    out->most_width = 16, out->most_speed = 32000, out->speed = 32000;
    out->width = (uint16_t)number("FAKE_AMD_PCIE_WIDTH", 16);
    out->replays = 5 + after("FAKE_AMD_ILL_AFTER_S");
    return OK;
}
typedef struct { uint64_t at, size; uint32_t status, pad; } Page;
int amdsmi_get_gpu_bad_page_info(void *handle, uint32_t *count, Page *out) {
    if (getenv("FAKE_AMD_NO_HEALTH")) return UNSUPPORTED;
    *count = (uint32_t)number("FAKE_AMD_BAD_PAGES", 0);
    for (uint32_t n = 0; out && n < *count; n++) out[n] = (Page){n << 12, 4096, 0, 0};
    return OK;
}
int amdsmi_gpu_xgmi_error_status(void *handle, uint32_t *status) {
    return *status = (uint32_t)number("FAKE_AMD_XGMI", 0), getenv("FAKE_AMD_NO_HEALTH") ? UNSUPPORTED : OK;
}
typedef struct { uint32_t links, status[8], pad; uint64_t reserved[7]; } Links;
int amdsmi_get_gpu_xgmi_link_status(void *handle, Links *out) {
    if (getenv("FAKE_AMD_NO_HEALTH")) return UNSUPPORTED;
    memset(out, 0, sizeof *out);
    out->links = 7;
    for (int n = 0; n < 7; n++) out->status[n] = n < number("FAKE_AMD_LINKS_DOWN", 0) ? 0 : 1;
    return OK;
}
