/* Two Rust libraries in one program: both catch their own panics. */
#define RINGTAIL_EXPERIMENTAL
#include <ringtail.h>
#include <stdio.h>

int other_answer(void);

int main(void) {
    int answer = other_answer();
    if (ringtail_test_panic() != RINGTAIL_EPANIC || other_answer() != answer) {
        return 1;
    }
    printf("%s %d\n", ringtail_version_string(), answer);
    return 0;
}
