/* Progress and Ctrl-C; see progress.h. */
#include "progress.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum { BAR_WIDTH = 24, PLAIN_LINES = 12 };

static volatile sig_atomic_t asked; /* the one thing a signal handler may touch */

static void on_interrupt(int number) {
    (void)number;
    asked = 1;
}

void interrupt_catch(void) {
    struct sigaction action = {.sa_handler = on_interrupt,
                               .sa_flags = (int)SA_RESETHAND}; /* a second Ctrl-C ends at once */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

bool interrupt_asked(void) {
    return asked != 0;
}

void progress_show(int done, int total, const char *text) {
    if (isatty(STDOUT_FILENO)) {
        char bar[BAR_WIDTH + 1];
        int filled = (int)((long long)done * BAR_WIDTH / total);
        for (int i = 0; i < BAR_WIDTH; i++)
            bar[i] = i < filled ? '#' : '.';
        bar[BAR_WIDTH] = '\0';
        printf("\r[%s] %d/%d  %s\033[K", bar, done, total, text);
        fflush(stdout);
        return;
    }
    int every = total < PLAIN_LINES ? 1 : total / PLAIN_LINES;
    if (done == 1 || done == total || done % every == 0) {
        printf("%d/%d  %s\n", done, total, text);
        fflush(stdout);
    }
}

void progress_end(void) {
    if (isatty(STDOUT_FILENO))
        putchar('\n');
    fflush(stdout);
}
