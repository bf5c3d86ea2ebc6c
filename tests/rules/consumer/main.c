/* Somebody else's program, the smallest there is: proves that header and library are found and belong together. */
#include <clbilevel/clbilevel.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    printf("clbilevel %s, wanted %s\n", blo_version(), argc > 1 ? argv[1] : "any");
    return argc > 1 && strcmp(blo_version(), argv[1]) != 0;
}
