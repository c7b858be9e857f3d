/* What the upstream says, byte for byte: it writes these texts, and the load generator holds what it hears against them.
 *
 * Every content event bears its number and the time at which it was written (CLOCK_MONOTONIC, nanoseconds), so that
 * whoever hears it on the same machine knows how long it was under way. The finishing event bears a sum of all stamps.
 * Together with the fixed texts this makes every byte of a stream's payloads known to the listener.
 */
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define SEQUENCE_DIGITS 5
#define STAMP_DIGITS 19
#define SUM_DIGITS 16
#define MOST_WHOLE_WORDS 200

/* The form of OpenAI's chunks, as their API sends them. */
#define ENVELOPE \
    "{\"id\":\"chatcmpl-CkZ4bH7qLw2vTnXy9RfEoPjUd3sAm\",\"object\":\"chat.completion.chunk\",\"created\":1763769600," \
    "\"model\":\"gpt-4o-mini-2024-07-18\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_560af6e559\","
#define ROLE_CHUNK \
    ENVELOPE "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}," \
             "\"logprobs\":null,\"finish_reason\":null}],\"obfuscation\":\"ab\"}"
#define CONTENT_START ENVELOPE "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" w"
#define CONTENT_END "\"},\"logprobs\":null,\"finish_reason\":null}],\"obfuscation\":\"\"}"
#define FINISH_START \
    ENVELOPE "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"obfuscation\":\""
#define FINISH_END "\"}"
#define LAST "[DONE]"

#define LENGTH(literal) (sizeof(literal) - 1)
/* Where the parts of a content event's payload begin: CONTENT_START, digits, '_', digits, CONTENT_END. */
enum {
    SEQUENCE_AT = LENGTH(CONTENT_START),
    STAMP_AT = SEQUENCE_AT + SEQUENCE_DIGITS + 1,
    CONTENT_END_AT = STAMP_AT + STAMP_DIGITS,
    CONTENT_LENGTH = CONTENT_END_AT + LENGTH(CONTENT_END),
};

static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static inline void put_digits(char *at, int width, uint64_t value) {
    for (; width--; value /= 10) at[width] = (char)('0' + value % 10);
}

static inline uint64_t get_digits(const char *at, int width) {
    uint64_t value = 0;
    for (; width--; at++) value = value * 10 + (uint64_t)(*at - '0');
    return value;
}

/* The sum over a stream's stamps that its finishing event bears. */
static inline uint64_t sum_with(uint64_t sum, uint64_t stamp) { return (sum ^ stamp) * 0x9E3779B97F4A7C15ull; }

/* The whole answer of so many words; gives its length. */
static inline size_t whole_answer(char *into, size_t room, long words) {
    if (words > MOST_WHOLE_WORDS) words = MOST_WHOLE_WORDS;
    size_t n = (size_t)snprintf(into, room,
        "{\"id\":\"chatcmpl-CkZ4bH7qLw2vTnXy9RfEoPjUd3sAm\",\"object\":\"chat.completion\",\"created\":1763769600,"
        "\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"");
    for (long i = 0; i < words; i++) n += (size_t)snprintf(into + n, room - n, " w%0*ld", SEQUENCE_DIGITS, i);
    n += (size_t)snprintf(into + n, room - n,
        "\",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":42,"
        "\"completion_tokens\":%ld,\"total_tokens\":%ld},\"service_tier\":\"default\",\"system_fingerprint\":\"fp_560af6e559\"}",
        words, words + 42);
    return n;
}

/* As many open files as the system lets us have, at most `most`. */
static inline void raise_file_limit(rlim_t most) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max < most ? limit.rlim_max : most;
    setrlimit(RLIMIT_NOFILE, &limit);
}
