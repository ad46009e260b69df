/* A plugin of QEMU's user emulation that counts the instructions which a program executes, on all of its threads.
 *
 *     cc -shared -fPIC -O2 instructions.c -o instructions.so
 *     qemu-aarch64 -plugin ./instructions.so,count=COUNT PROGRAM
 *
 * writes the number to the file COUNT when the program ends. Each thread counts for itself, so that none is lost; a block of
 * code that a signal breaks off counts as whole.
 *
 * The declarations are those of QEMU's interface for plugins, version 1 (QEMU 4.2 and later); Debian has no package of
 * its header.
 *
 * SPDX-License-Identifier: MIT
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VISIBLE __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
struct qemu_info;
struct qemu_plugin_tb;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
typedef void (*on_translation)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*on_execution)(unsigned int thread, void *argument);
typedef void (*on_exit_of_program)(qemu_plugin_id_t, void *);

extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, on_translation);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, on_execution, enum qemu_plugin_cb_flags,
                                                 void *argument);
extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, on_exit_of_program, void *);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);

/* A count a cache line, so that threads do not wait for each other. */
struct counter {
    uint64_t instructions;
    char padding[64 - sizeof(uint64_t)];
};

enum { MOST_THREADS = 1024 };
static struct counter counters[MOST_THREADS];
static bool too_many_threads;
static char *count_file;

static void count(unsigned int thread, void *instructions)
{
    if (thread < MOST_THREADS)
        counters[thread].instructions += (uintptr_t)instructions;
    else
        too_many_threads = true;
}

static void follow(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    void *instructions = (void *)(uintptr_t)qemu_plugin_tb_n_insns(block);
    qemu_plugin_register_vcpu_tb_exec_cb(block, count, QEMU_PLUGIN_CB_NO_REGS, instructions);
}

static void write_count(qemu_plugin_id_t id, void *nothing)
{
    (void)id;
    (void)nothing;
    uint64_t sum = 0;
    for (int thread = 0; thread < MOST_THREADS; thread++)
        sum += counters[thread].instructions;
    FILE *file = too_many_threads ? NULL : fopen(count_file, "w");
    if (!file || fprintf(file, "%" PRIu64 "\n", sum) < 0 || fclose(file) != 0) {
        fprintf(stderr, "instructions.so: %s was not written\n", count_file);
        abort();
    }
}

VISIBLE int qemu_plugin_version = 1;

VISIBLE int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv)
{
    static const char key[] = "count=";
    (void)info;
    /* QEMU 7.2 hands over each argument twice. */
    if (argc < 1 || strncmp(argv[0], key, strlen(key)) != 0) {
        fprintf(stderr, "instructions.so: say where the count goes: -plugin instructions.so,count=COUNT\n");
        return 1;
    }
    count_file = strdup(argv[0] + strlen(key));
    if (!count_file)
        return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, follow);
    qemu_plugin_register_atexit_cb(id, write_count, NULL);
    return 0;
}
