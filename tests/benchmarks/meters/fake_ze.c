/* A libze_loader.so.1 whose truth is known: two cards, card k drawing FAKE_ZE_W (300) + k watts.

   Each card lists, in this order: a tile (a third of it), its memory, its package (0.9 of it) and the card itself.
   FAKE_ZE_DOMAINS      which of them are listed, as letters: t, m, p, c (tmpc); empty: none
   FAKE_ZE_OLD=1        the driver refuses extended properties; FAKE_ZE_NO_PROPERTIES=1: it refuses all of them
   FAKE_ZE_CODE         what the counter answers, FAKE_ZE_CODE_AFTER_S from when on
   FAKE_ZE_RESET_AFTER_S, FAKE_ZE_INIT (what zesInit answers), FAKE_ZE_ENUM (what listing the domains answers) */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OK = 0, UNSUPPORTED = 0x78000003 };
static int driver, cards[2];
static struct { int card; char kind; } domains[2][4];
static double began;

static double number(const char *name, double otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtod(text, 0) : otherwise;
}
static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}
static int after(const char *name, double otherwise) { return seconds() - began > number(name, otherwise); }

uint32_t zesInit(uint32_t flags) {
    began = seconds();
    return (uint32_t)number("FAKE_ZE_INIT", OK);
}
uint32_t zesDriverGet(uint32_t *count, void **handles) {
    if (handles) handles[0] = &driver;
    return *count = 1, OK;
}
uint32_t zesDeviceGet(void *of, uint32_t *count, void **handles) {
    for (int card = 0; handles && card < 2; card++) handles[card] = &cards[card];
    return *count = 2, OK;
}
uint32_t zesDeviceEnumPowerDomains(void *device, uint32_t *count, void **handles) {
    if (getenv("FAKE_ZE_ENUM")) return (uint32_t)number("FAKE_ZE_ENUM", OK);
    const char *kinds = getenv("FAKE_ZE_DOMAINS") ? getenv("FAKE_ZE_DOMAINS") : "tmpc";
    int card = (int)((int *)device - cards);
    for (int at = 0; handles && kinds[at]; at++) {
        domains[card][at].card = card, domains[card][at].kind = kinds[at];
        handles[at] = &domains[card][at];
    }
    return *count = (uint32_t)strlen(kinds), OK;
}
typedef struct { uint32_t stype; void *next; uint32_t address[4]; int32_t speed[2]; int64_t bandwidth; uint8_t have[3]; } Pci;
uint32_t zesDevicePciGetProperties(void *device, Pci *out) {
    if (out->stype != 0x2) return UNSUPPORTED;
    return out->address[1] = 0x3a + (uint32_t)((int *)device - cards), OK;
}
typedef struct { uint32_t stype; void *next; uint32_t domain; void *limit; } Extended;
typedef struct {
    uint32_t stype; void *next; uint8_t on_subdevice; uint32_t subdevice; uint8_t control, threshold; int32_t usual, least, most;
} Properties;
static char kind_of(void *domain) { return *((char *)domain + sizeof(int)); }
uint32_t zesPowerGetProperties(void *domain, Properties *out) {
    Extended *extended = out->next;
    if (out->stype != 0xd || getenv("FAKE_ZE_NO_PROPERTIES") || (extended && getenv("FAKE_ZE_OLD"))) return UNSUPPORTED;
    char kind = kind_of(domain);
    out->on_subdevice = kind == 't';
    out->usual = out->most = kind == 'c' ? 450000 : -1;
    if (extended && extended->stype == 0x28) extended->domain = kind == 'c' ? 1 : kind == 'p' ? 2 : kind == 'm' ? 4 : 3;
    return OK;
}
typedef struct { uint64_t energy, stamp; } Energy;
uint32_t zesPowerGetEnergyCounter(void *domain, Energy *out) {
    if (getenv("FAKE_ZE_CODE") && after("FAKE_ZE_CODE_AFTER_S", -1)) return (uint32_t)number("FAKE_ZE_CODE", OK);
    char kind = kind_of(domain);
    double share = kind == 'c' ? 1 : kind == 'p' ? 0.9 : kind == 'm' ? 0.1 : 1.0 / 3;
    double base = after("FAKE_ZE_RESET_AFTER_S", 1e18) ? 0 : 1e6;
    double watts = number("FAKE_ZE_W", 300) + *(int *)domain;
    out->energy = (uint64_t)((base + share * watts * (seconds() - began)) * 1e6);
    out->stamp = (uint64_t)(seconds() * 1e6);
    return OK;
}
