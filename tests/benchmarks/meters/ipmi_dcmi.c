/* A module for OpenIPMI's ipmi_sim, which has no DCMI of its own: command Get Power Reading (group 0xDC, 0x02).
   Its option names a file with the watts and, behind them, 0 if the reading is switched off. */
#include <stdio.h>
#include <string.h>

#include <OpenIPMI/mcserv.h>
#include <OpenIPMI/msg.h>
#include <OpenIPMI/serv.h>

enum { GROUP = 0xdc, GET_POWER = 0x02, ACTIVE = 0x40, UNKNOWN_COMMAND = 0xc1, ABSENT = 0xcb };
static char source[512];

static void answer(lmc_data_t *mc, msg_t *message, unsigned char *out, unsigned int *length, void *unused) {
    unsigned watts = 0, on = 1;
    FILE *file = message->cmd == GET_POWER ? fopen(source, "r") : NULL;
    *length = 1;
    if (message->cmd != GET_POWER) { out[0] = UNKNOWN_COMMAND; return; }
    if (!file || fscanf(file, "%u %u", &watts, &on) < 1) { out[0] = ABSENT; if (file) fclose(file); return; }
    fclose(file);
    memset(out, 0, *length = 19);
    out[1] = GROUP;
    for (int at = 2; at < 10; at += 2) out[at] = watts & 255, out[at + 1] = watts >> 8; /* now, least, most, mean */
    out[14] = 1000 & 255, out[15] = 1000 >> 8;                                          /* over so many ms */
    out[18] = on ? ACTIVE : 0;
}
int ipmi_sim_module_print_version(sys_data_t *sys, char *options) { return 0; }
int ipmi_sim_module_init(sys_data_t *sys, const char *options) {
    strncpy(source, options, sizeof source - 1);
    ipmi_emu_register_group_extension_handler(GROUP, answer, NULL);
    return 0;
}
