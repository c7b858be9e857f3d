/* Streaming clients of a chat-completions server, in one epoll thread, to measure a relay in front of upstream.c.
 *
 *   load --port 8000 --clients 50 --answers 200
 *
 *   --port P, --path /p     where to ask, on 127.0.0.1                            (/chat/completions)
 *   --clients N             who asks at the same time, each again and again       (1)
 *   --answers N             stop after so many answers, or
 *   --seconds S             begin no new one after so long
 *   --limit S               give up after so long, whatever is open               (60)
 *   --whole                 ask for one JSON object ("stream": false)
 *   --model NAME, --key K   the request's model, and the key it bears             (fake, sk-bench-caller)
 *   --tokens N              content events that a whole stream must have; of a JSON answer: its words
 *   --ramp N                begin with at most N clients a second                 (all at once)
 *   --hold S                keep the streams open for so long after all have begun, then leave
 *
 * Prints one JSON object. Times are in milliseconds:
 *   first       from the request to the first content event (of a JSON answer: to its end)
 *   relay       from the stamp in a content event to its arrival here
 *   gap         between two content events of a stream, here
 * Wrong answers are counted by kind: connect, broken (ended early), status, incomplete, disorder, late (open when all was
 * given up), starved (clients that got no answer at all). `altered` counts payloads that are not, byte for byte, what the
 * upstream wrote: rewritten by the relay, or damaged.
 * With --hold a line {"held": ...} is printed as soon as all streams have begun.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answers.h"
#include "histogram.h"

enum { RECEIVED_AT_ONCE = 65536, EVENT_ROOM = 16384, HEAD_ROOM = 8192, EVENTS_A_TURN = 512 };
static const char DATA[] = "data: ";

typedef enum { IDLE, CONNECTING, AWAITING_HEAD, IN_BODY } State;

/* A body's framing: chunked, of known length, or until the connection closes. */
typedef enum { CHUNKED, COUNTED, UNTIL_CLOSE } Framing;

typedef struct {
    int fd;
    State state;
    Framing framing;
    int status, closes;
    char head[HEAD_ROOM];
    size_t head_length;
    long left;            /* bytes of the current chunk, or of the body */
    char size_line[32];
    size_t size_length;
    int in_size, last_chunk;
    char event[EVENT_ROOM]; /* the event that is coming, or the whole JSON answer */
    size_t event_length;
    long tokens, answers;
    int done, disorder;
    uint64_t asked, heard, sum; /* heard: when the last content event came */
} Client;

static struct {
    int port, clients, whole;
    const char *path, *model, *key;
    long answers, tokens, ramp;
    double seconds, limit, hold;
} options = {8000, 1, 0, "/chat/completions", "fake", "sk-bench-caller", 0, 0, 0, 0, 60, 0};

static struct {
    long begun, answered, right, chunks, altered, connections;
    long connect, broken, status, incomplete, disorder, late;
} counts;

static Client *clients;
static int epoll;
static char request[4096], whole[4096], first_error[240];
static size_t request_length, whole_length;
static uint64_t start_ns, stop_ns, last_answer_ns;
static Histogram first, relay, gap;

static int more_to_ask(uint64_t now) { return options.answers ? counts.begun < options.answers : now < stop_ns; }

static void note_error(const char *text, size_t length) {
    if (!first_error[0]) snprintf(first_error, sizeof first_error, "%.*s", (int)length, text);
}

/* ---- asking --------------------------------------------------------------------------------------------------- */

static void begin(Client *c);

static void hang_up(Client *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->state = IDLE;
}

static void dial(Client *c) {
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)options.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    connect(c->fd, (void *)&address, sizeof address);
    struct epoll_event interest = {.events = EPOLLOUT, .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &interest);
    c->state = CONNECTING;
    counts.connections++;
}

static void ask(Client *c) {
    c->asked = now_ns();
    c->state = AWAITING_HEAD;
    if (send(c->fd, request, request_length, MSG_NOSIGNAL) == (ssize_t)request_length) return;
    counts.broken++;
    counts.answered++;
    hang_up(c);
}

static void connected(Client *c) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) {
        counts.connect++;
        counts.answered++;
        hang_up(c);
        return;
    }
    struct epoll_event interest = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &interest);
    ask(c);
}

static void begin(Client *c) {
    counts.begun++;
    c->status = c->closes = c->in_size = c->last_chunk = c->done = c->disorder = 0;
    c->head_length = c->event_length = c->size_length = 0;
    c->tokens = 0;
    c->heard = c->sum = 0;
    if (c->fd < 0) dial(c);
    else ask(c);
}

/* ---- judging -------------------------------------------------------------------------------------------------- */

static void judge_whole(Client *c, uint64_t at) {
    if (c->event_length != whole_length || memcmp(c->event, whole, whole_length)) counts.altered++;
    record(&first, at - c->asked);
    c->done = 1;
}

/* The answer is over; `broke` where it ended before it should. */
static void over(Client *c, int broke) {
    uint64_t now = now_ns();
    counts.answered++;
    last_answer_ns = now;
    if (!broke && options.whole && c->status == 200) judge_whole(c, now);
    if (broke) counts.broken++;
    else if (c->status != 200) counts.status++;
    else if (!c->done || (!options.whole && options.tokens && c->tokens != options.tokens)) counts.incomplete++;
    else if (c->disorder) counts.disorder++;
    else counts.right++, c->answers++;
    if (broke || c->closes) hang_up(c);
    c->state = IDLE;
    if (more_to_ask(now)) begin(c);
}

static void content(Client *c, uint64_t sequence, uint64_t stamp, uint64_t at) {
    if (sequence != (uint64_t)c->tokens % 100000 || stamp < c->asked || stamp > at) c->disorder = 1;
    if (c->tokens++ == 0) record(&first, at - c->asked);
    else record(&gap, at - c->heard);
    record(&relay, at - stamp);
    c->heard = at;
    c->sum = sum_with(c->sum, stamp);
}

static int is_content_as_written(const char *payload, size_t length) {
    return length == CONTENT_LENGTH && !memcmp(payload, CONTENT_START, SEQUENCE_AT) &&
           !memcmp(payload + CONTENT_END_AT, CONTENT_END, LENGTH(CONTENT_END));
}

static int is_finish_as_written(Client *c, const char *payload, size_t length) {
    char wanted[512];
    int n = snprintf(wanted, sizeof wanted, FINISH_START "%0*llx" FINISH_END, SUM_DIGITS, (unsigned long long)c->sum);
    return length == (size_t)n && !memcmp(payload, wanted, length);
}

/* A payload that the relay has written anew: the text, the number and the stamp must still be in it. */
static void rewritten(Client *c, const char *payload, uint64_t at) {
    const char *text = strstr(payload, "\"content\"");
    counts.altered++;
    if (text) {
        text += LENGTH("\"content\"");
        text += strspn(text, ": ");
        if (!strncmp(text, "\" w", 3) && strlen(text) > 3 + SEQUENCE_DIGITS + 1 + STAMP_DIGITS) {
            content(c, get_digits(text + 3, SEQUENCE_DIGITS), get_digits(text + 4 + SEQUENCE_DIGITS, STAMP_DIGITS), at);
            return;
        }
    }
    if (strstr(payload, "\"error\"")) note_error(payload, strlen(payload));
}

/* The event in c->event is whole. */
static void judge_event(Client *c, uint64_t at) {
    c->event[c->event_length] = 0;
    char *payload = strstr(c->event, "data:");
    if (!payload) return; /* a comment */
    payload += LENGTH("data:");
    payload += *payload == ' ';
    size_t length = strcspn(payload, "\r\n");
    payload[length] = 0;
    if (!strcmp(payload, LAST)) {
        c->done = 1;
        return;
    }
    counts.chunks++;
    if (is_content_as_written(payload, length))
        content(c, get_digits(payload + SEQUENCE_AT, SEQUENCE_DIGITS), get_digits(payload + STAMP_AT, STAMP_DIGITS), at);
    else if (strcmp(payload, ROLE_CHUNK) && !is_finish_as_written(c, payload, length)) rewritten(c, payload, at);
}

/* ---- reading -------------------------------------------------------------------------------------------------- */

static void keep(Client *c, const char *text, size_t length) {
    if (c->event_length + length >= EVENT_ROOM) return;
    memcpy(c->event + c->event_length, text, length);
    c->event_length += length;
}

/* A part of the body: events end at a blank line. */
static void take_text(Client *c, const char *text, size_t length, uint64_t at) {
    if (c->status != 200) note_error(text, length);
    if (c->status != 200 || options.whole) {
        keep(c, text, length);
        return;
    }
    while (length) {
        const char *line_end = memchr(text, '\n', length);
        size_t taken = line_end ? (size_t)(line_end - text) + 1 : length;
        keep(c, text, taken);
        text += taken;
        length -= taken;
        const char *end = c->event + c->event_length;
        size_t n = c->event_length;
        int blank = n == 1 || (n == 2 && end[-2] == '\r') || end[-2] == '\n' || (n > 2 && end[-2] == '\r' && end[-3] == '\n');
        if (!line_end || !blank) continue;
        if (n > LENGTH(DATA)) judge_event(c, at);
        c->event_length = 0;
    }
}

/* A byte of the line that says how long the next chunk is; gives whether the body ends with it. */
static int take_size(Client *c, char byte) {
    if (byte != '\n') {
        if (c->size_length < sizeof c->size_line - 1) c->size_line[c->size_length++] = byte;
        return 0;
    }
    c->size_line[c->size_length] = 0;
    int blank = c->size_length <= 1;
    c->size_length = 0;
    if (blank) return c->last_chunk; /* the line end behind a chunk, or the end of all */
    if (c->last_chunk) return 0;     /* a trailer */
    c->left = strtol(c->size_line, NULL, 16);
    c->last_chunk = c->left == 0;
    c->in_size = c->last_chunk;
    return 0;
}

static void take_body(Client *c, const char *from, const char *end, uint64_t at) {
    while (from < end) {
        if (c->framing == CHUNKED && c->in_size) {
            if (!take_size(c, *from++)) continue;
            over(c, 0);
            return;
        }
        size_t length = (size_t)(end - from);
        if (c->framing != UNTIL_CLOSE && length > (size_t)c->left) length = (size_t)c->left;
        take_text(c, from, length, at);
        from += length;
        if (c->framing == UNTIL_CLOSE || (c->left -= (long)length)) continue;
        if (c->framing == COUNTED) {
            over(c, 0);
            return;
        }
        c->in_size = 1;
    }
}

/* Takes the head; gives where the body begins, or NULL where the head is not whole yet. */
static const char *take_head(Client *c, const char *from, size_t length) {
    size_t had = c->head_length, room = sizeof c->head - 1 - had;
    if (length > room) length = room;
    memcpy(c->head + had, from, length);
    c->head_length += length;
    c->head[c->head_length] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end) return NULL;
    *end = 0;
    const char *counted = strcasestr(c->head, "\r\ncontent-length:");
    c->status = atoi(c->head + LENGTH("HTTP/1.1 "));
    c->framing = strcasestr(c->head, "\r\ntransfer-encoding: chunked") ? CHUNKED : counted ? COUNTED : UNTIL_CLOSE;
    c->closes = c->framing == UNTIL_CLOSE || strcasestr(c->head, "\r\nconnection: close") || !strncmp(c->head, "HTTP/1.0", 8);
    c->left = counted ? atol(counted + LENGTH("\r\ncontent-length:")) : 0;
    c->in_size = c->framing == CHUNKED;
    c->state = IN_BODY;
    return from + (size_t)(end + 4 - c->head) - had;
}

static void receive(Client *c) {
    static char received[RECEIVED_AT_ONCE];
    ssize_t length = recv(c->fd, received, sizeof received, 0);
    uint64_t at = now_ns();
    if (length < 0 && errno == EAGAIN) return;
    if (c->state == IDLE) hang_up(c); /* bytes that nobody asked for, or the server hangs up */
    else if (length <= 0) over(c, !(length == 0 && c->state == IN_BODY && c->framing == UNTIL_CLOSE));
    else {
        const char *from = c->state == IN_BODY ? received : take_head(c, received, (size_t)length);
        if (from && c->framing == COUNTED && c->left == 0) over(c, 0);
        else if (from) take_body(c, from, received + length, at);
    }
}

/* ---- the run -------------------------------------------------------------------------------------------------- */

static void build_request(void) {
    char body[2048];
    snprintf(body, sizeof body,
             "{\"model\":\"%s\",\"stream\":%s,\"temperature\":0.7,\"max_tokens\":512,\"messages\":[{\"role\":\"system\",\"content\":"
             "\"You are the voice of a bicycle workshop. Answer in one or two short sentences that can be spoken.\"},"
             "{\"role\":\"user\",\"content\":\"Hello, I have a question about my bicycle.\"},{\"role\":\"assistant\",\"content\":"
             "\"Of course, what would you like to know?\"},{\"role\":\"user\",\"content\":\"The brakes squeal when it rains, and the "
             "chain jumps on the smallest sprocket. How long would it take to have both looked at, what would it cost about, "
             "and could I bring it in on Thursday before work, at half past seven perhaps?\"}]}",
             options.model, options.whole ? "false" : "true");
    request_length = (size_t)snprintf(request, sizeof request,
                                      "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nAccept: %s\r\n"
                                      "Authorization: Bearer %s\r\nUser-Agent: load\r\nContent-Length: %zu\r\n\r\n%s",
                                      options.path, options.port, options.whole ? "application/json" : "text/event-stream",
                                      options.key, strlen(body), body);
    whole_length = whole_answer(whole, sizeof whole, options.tokens);
}

static void read_options(int count, char **arguments) {
    static const struct option known[] = {
        {"port", 1, 0, 'p'},    {"path", 1, 0, 'a'},  {"clients", 1, 0, 'c'}, {"answers", 1, 0, 'n'}, {"seconds", 1, 0, 's'},
        {"limit", 1, 0, 'l'},   {"whole", 0, 0, 'w'}, {"model", 1, 0, 'm'},   {"key", 1, 0, 'k'},     {"tokens", 1, 0, 't'},
        {"ramp", 1, 0, 'r'},    {"hold", 1, 0, 'h'},  {0, 0, 0, 0}};
    for (int option; (option = getopt_long(count, arguments, "", known, NULL)) != -1;) switch (option) {
        case 'p': options.port = atoi(optarg); break;
        case 'a': options.path = optarg; break;
        case 'c': options.clients = atoi(optarg); break;
        case 'n': options.answers = atol(optarg); break;
        case 's': options.seconds = atof(optarg); break;
        case 'l': options.limit = atof(optarg); break;
        case 'w': options.whole = 1; break;
        case 'm': options.model = optarg; break;
        case 'k': options.key = optarg; break;
        case 't': options.tokens = atol(optarg); break;
        case 'r': options.ramp = atol(optarg); break;
        case 'h': options.hold = atof(optarg); break;
        default: exit(2);
        }
    if (options.hold) options.answers = options.clients;
}

/* Begins with as many clients as may have begun by now; gives how many have. */
static int launch(int launched, uint64_t now) {
    long may = options.ramp ? (long)((double)(now - start_ns) * (double)options.ramp / 1e9) + 1 : options.clients;
    while (launched < options.clients && launched < may && more_to_ask(now)) begin(&clients[launched++]);
    return launched;
}

static long streams_open(void) {
    long open = 0;
    for (int i = 0; i < options.clients; i++) open += clients[i].state == IN_BODY && clients[i].tokens > 0;
    return open;
}

/* Whether the run is over. */
static int finished(int launched, uint64_t now) {
    static uint64_t held_until;
    int gave_up = now > start_ns + (uint64_t)(options.limit * 1e9);
    if (options.hold) {
        if (held_until) return now > held_until;
        if (gave_up || (launched == options.clients && first.count + counts.answered >= options.clients)) {
            held_until = now + (uint64_t)(options.hold * 1e9);
            printf("{\"held\":%ld}\n", streams_open());
            fflush(stdout);
        }
        return 0;
    }
    if (gave_up) counts.late = counts.begun - counts.answered;
    return gave_up || (!more_to_ask(now) && counts.answered >= counts.begun);
}

static void print_results(void) {
    double seconds = (double)((options.hold ? now_ns() : last_answer_ns) - start_ns) / 1e9;
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    long starved = 0;
    for (int i = 0; i < options.clients && !options.hold; i++) starved += clients[i].answers == 0;
    printf("{\"seconds\":%.4f,\"cpu_seconds\":%.4f,\"answers\":%ld,\"right\":%ld,\"chunks\":%ld,\"altered\":%ld,\"connections\":%ld,"
           "\"open_at_end\":%ld,\"wrong\":{\"connect\":%ld,\"broken\":%ld,\"status\":%ld,\"incomplete\":%ld,\"disorder\":%ld,"
           "\"late\":%ld,\"starved\":%ld}",
           seconds, cpu, counts.answered, counts.right, counts.chunks, counts.altered, counts.connections, streams_open(),
           counts.connect, counts.broken, counts.status, counts.incomplete, counts.disorder, counts.late, starved);
    print_histogram("first", &first);
    print_histogram("relay", &relay);
    print_histogram("gap", &gap);
    printf(",\"first_error\":\"");
    for (const char *p = first_error; *p; p++) {
        if (*p == '"' || *p == '\\') putchar('\\');
        if (*p >= ' ') putchar(*p);
    }
    printf("\"}\n");
}

int main(int count, char **arguments) {
    read_options(count, arguments);
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit(65536);
    build_request();
    epoll = epoll_create1(0);
    clients = calloc((size_t)options.clients, sizeof *clients);
    for (int i = 0; i < options.clients; i++) clients[i].fd = -1;
    start_ns = last_answer_ns = now_ns();
    stop_ns = start_ns + (uint64_t)(options.seconds * 1e9);
    struct epoll_event events[EVENTS_A_TURN];
    int launched = 0;
    for (uint64_t now = start_ns; launched = launch(launched, now), !finished(launched, now); now = now_ns()) {
        int happened = epoll_wait(epoll, events, EVENTS_A_TURN, options.ramp || options.hold ? 2 : 50);
        for (int i = 0; i < happened; i++) {
            Client *c = events[i].data.ptr;
            if (c->state == CONNECTING) connected(c);
            else if (c->fd >= 0) receive(c);
        }
    }
    print_results();
    return 0;
}
