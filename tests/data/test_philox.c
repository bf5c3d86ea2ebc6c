/* Philox 4x32-10 against the known answers its authors publish with Random123. */
#include "graph/philox.h"
#include "runner.h"

static const struct {
    uint32_t counter[4], key[2], expected[4];
} KNOWN[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

START_TEST(gives_the_known_answers) {
    uint32_t out[4];
    blo_philox4x32(KNOWN[_i].counter, KNOWN[_i].key, out);
    for (int word = 0; word < 4; word++) {
        ck_assert_uint_eq(out[word], KNOWN[_i].expected[word]);
    }
}
END_TEST

START_TEST(may_write_over_its_counter) {
    uint32_t words[4];
    for (int word = 0; word < 4; word++) {
        words[word] = KNOWN[2].counter[word];
    }
    blo_philox4x32(words, KNOWN[2].key, words);
    ck_assert_mem_eq(words, KNOWN[2].expected, sizeof words);
}
END_TEST

int main(void) {
    TCase *tests = tcase_create("philox");
    tcase_add_loop_test(tests, gives_the_known_answers, 0, 3);
    tcase_add_test(tests, may_write_over_its_counter);
    return run_case("philox", tests);
}
