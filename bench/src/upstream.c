/* A cheap imitation of an OpenAI-compatible API, for measuring what stands in front of it.
 *
 *   upstream PORT
 *
 * One thread, epoll, HTTP/1.1 with kept connections, on 127.0.0.1. It answers
 *   POST .../chat/completions   a stream of events, or one JSON object where "stream" is not true
 *   GET  .../models             a list of one model
 *   GET  /set?name=value&...    changes what the next answers are like; resets the counts
 *   GET  /stats                 the counts as JSON
 * What may be set:
 *   tokens        content events in a stream                                   (100)
 *   interval_us   time between them; 0: as fast as the connection takes them   (0)
 *   together      how many of them leave in one write                         (1)
 *   stall_at      silence after so many, until the caller leaves; -1: never    (-1)
 * What it writes is in answers.h. A request's body must have a content-length.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answers.h"

enum { MOST_FILES = 65536, WAITING_ROOM = 4096, EVENT_ROOM = 512, MOST_TOGETHER = WAITING_ROOM / EVENT_ROOM, EVENTS_A_TURN = 512 };

/* What a function that writes may end with. */
enum { FINE = 0, CLOSE = -1 };

typedef enum { READING, STREAMING } State;
typedef enum { ROLE, CONTENT, FINISH, DONE } Phase;

typedef struct {
    int fd;
    State state;
    Phase phase;
    int heap_at, ready_at;  /* places in the two waiting lists, or -1 */
    int wants_out;          /* whether epoll tells when there is room */
    char *in;               /* what came and was not used yet */
    size_t in_length, in_room;
    char out[WAITING_ROOM]; /* what the connection did not take yet */
    size_t out_start, out_length;
    char event[EVENT_ROOM]; /* a content event in its HTTP chunk; only the digits change */
    size_t event_length, payload_at;
    long tokens, interval_us, together, stall_at;
    long index;             /* of the next content event */
    uint64_t begun, due, sum;
} Connection;

static struct { long tokens, interval_us, together, stall_at; } settings = {100, 0, 1, -1};
static struct {
    long connections, requests, open_streams, most_streams, left_early;
    uint64_t last_left_ns; /* when a caller was last seen to have left before the end */
} stats;

static int epoll;
static Connection *connections[MOST_FILES];

/* ---- who waits for the clock (a heap), and who for its turn (a list) ----------------------------------------- */

static Connection *heap[MOST_FILES], *ready[MOST_FILES];
static int heap_length, ready_length;

static void place(int at, Connection *c) {
    heap[at] = c;
    c->heap_at = at;
}

static void rise(int at) {
    Connection *c = heap[at];
    for (; at && heap[(at - 1) / 2]->due > c->due; at = (at - 1) / 2) place(at, heap[(at - 1) / 2]);
    place(at, c);
}

static void sink(int at) {
    Connection *c = heap[at];
    for (int child; (child = 2 * at + 1) < heap_length; at = child) {
        if (child + 1 < heap_length && heap[child + 1]->due < heap[child]->due) child++;
        if (heap[child]->due >= c->due) break;
        place(at, heap[child]);
    }
    place(at, c);
}

static void wait_until(Connection *c, uint64_t due) {
    c->due = due;
    if (c->heap_at < 0) place(heap_length++, c);
    rise(c->heap_at);
    sink(c->heap_at);
}

static void wait_no_more(Connection *c) {
    int at = c->heap_at;
    if (at < 0) return;
    c->heap_at = -1;
    Connection *last = heap[--heap_length];
    if (last == c) return;
    place(at, last);
    rise(at);
    sink(last->heap_at);
}

static void queue_up(Connection *c) {
    if (c->ready_at >= 0) return;
    c->ready_at = ready_length;
    ready[ready_length++] = c;
}

static void leave_queue(Connection *c) {
    int at = c->ready_at;
    if (at < 0) return;
    c->ready_at = -1;
    Connection *last = ready[--ready_length];
    if (last == c) return;
    ready[at] = last;
    last->ready_at = at;
}

/* ---- connections ---------------------------------------------------------------------------------------------- */

static void open_connection(int fd) {
    if (fd >= MOST_FILES) {
        close(fd);
        return;
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    Connection *c = calloc(1, sizeof *c);
    c->fd = fd;
    c->heap_at = c->ready_at = -1;
    connections[fd] = c;
    stats.connections++;
    struct epoll_event interest = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &interest);
}

static void close_connection(Connection *c) {
    if (c->state == STREAMING) {
        stats.open_streams--;
        stats.left_early++;
        stats.last_left_ns = now_ns();
    }
    wait_no_more(c);
    leave_queue(c);
    connections[c->fd] = NULL;
    close(c->fd);
    free(c->in);
    free(c);
}

static void ask_for_room(Connection *c, int wanted) {
    if (c->wants_out == wanted) return;
    c->wants_out = wanted;
    struct epoll_event interest = {.events = EPOLLIN | EPOLLRDHUP | (wanted ? EPOLLOUT : 0), .data.fd = c->fd};
    epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &interest);
}

/* Writes what the connection takes and keeps the rest for later. */
static int put(Connection *c, const char *text, size_t length) {
    if (c->out_length == 0) {
        ssize_t written = send(c->fd, text, length, MSG_NOSIGNAL);
        if (written < 0 && errno != EAGAIN) return CLOSE;
        if (written > 0) {
            text += written;
            length -= (size_t)written;
        }
    }
    if (length == 0) return FINE;
    memmove(c->out, c->out + c->out_start, c->out_length);
    c->out_start = 0;
    if (c->out_length + length > sizeof c->out) return CLOSE;
    memcpy(c->out + c->out_length, text, length);
    c->out_length += length;
    ask_for_room(c, 1);
    return FINE;
}

static int put_the_rest(Connection *c) {
    ssize_t written = send(c->fd, c->out + c->out_start, c->out_length, MSG_NOSIGNAL);
    if (written < 0) return errno == EAGAIN ? FINE : CLOSE;
    c->out_start += (size_t)written;
    c->out_length -= (size_t)written;
    if (c->out_length == 0) ask_for_room(c, 0);
    return FINE;
}

/* ---- streams -------------------------------------------------------------------------------------------------- */

static int serve_next(Connection *c);

/* An event in an HTTP chunk of its own, as OpenAI's API sends them. */
static size_t event_of(char *into, size_t room, const char *payload) {
    return (size_t)snprintf(into, room, "%zx\r\ndata: %s\n\n\r\n", strlen(payload) + LENGTH("data: \n\n"), payload);
}

static int put_event(Connection *c, const char *payload) {
    char event[1024];
    return put(c, event, event_of(event, sizeof event, payload));
}

/* The next content events, as many as leave together. */
static int put_content(Connection *c) {
    char events[WAITING_ROOM];
    size_t length = 0;
    for (long i = 0; i < c->together && c->index < c->tokens && c->index != c->stall_at; i++, c->index++) {
        char *payload = events + length + c->payload_at;
        uint64_t stamp = now_ns();
        memcpy(events + length, c->event, c->event_length);
        put_digits(payload + SEQUENCE_AT, SEQUENCE_DIGITS, (uint64_t)c->index);
        put_digits(payload + STAMP_AT, STAMP_DIGITS, stamp);
        c->sum = sum_with(c->sum, stamp);
        length += c->event_length;
    }
    return put(c, events, length);
}

/* The finishing event, the last one, and the end of the body. */
static int put_end(Connection *c) {
    char payload[512], end[1024];
    snprintf(payload, sizeof payload, FINISH_START "%0*llx" FINISH_END, SUM_DIGITS, (unsigned long long)c->sum);
    size_t length = event_of(end, sizeof end, payload);
    length += event_of(end + length, sizeof end - length, LAST);
    memcpy(end + length, "0\r\n\r\n", LENGTH("0\r\n\r\n"));
    return put(c, end, length + LENGTH("0\r\n\r\n"));
}

/* Goes on with a stream until it must wait: for the clock, for room, for its turn, or, stalled, for ever. */
static int go_on(Connection *c) {
    leave_queue(c);
    while (c->state == STREAMING && c->out_length == 0) {
        if (c->phase == ROLE) {
            c->phase = c->tokens > 0 ? CONTENT : FINISH;
            if (put_event(c, ROLE_CHUNK)) return CLOSE;
        } else if (c->phase == CONTENT) {
            if (c->index == c->stall_at) return FINE;
            uint64_t due = c->begun + (uint64_t)(c->index * c->interval_us) * 1000;
            if (c->interval_us && due > now_ns()) {
                wait_until(c, due);
                return FINE;
            }
            if (put_content(c)) return CLOSE;
            if (c->index == c->tokens) c->phase = FINISH;
            if (c->interval_us == 0) { /* the others' turn */
                queue_up(c);
                return FINE;
            }
        } else {
            c->state = READING;
            stats.open_streams--;
            if (put_end(c)) return CLOSE;
            return serve_next(c);
        }
    }
    return FINE;
}

static int begin_stream(Connection *c) {
    static const char head[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                               "x-request-id: req_0123456789abcdef\r\ntransfer-encoding: chunked\r\n\r\n";
    c->event_length = event_of(c->event, sizeof c->event, CONTENT_START "00000_0000000000000000000" CONTENT_END);
    c->payload_at = (size_t)(strchr(c->event, '{') - c->event);
    c->state = STREAMING;
    c->phase = ROLE;
    c->tokens = settings.tokens;
    c->interval_us = settings.interval_us;
    c->together = settings.together;
    c->stall_at = settings.stall_at;
    c->index = 0;
    c->sum = 0;
    c->begun = now_ns();
    if (++stats.open_streams > stats.most_streams) stats.most_streams = stats.open_streams;
    return put(c, head, LENGTH(head)) ? CLOSE : go_on(c);
}

/* ---- whole answers -------------------------------------------------------------------------------------------- */

static int put_json(Connection *c, const char *status, const char *body) {
    char answer[WAITING_ROOM];
    int length = snprintf(answer, sizeof answer, "HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s",
                          status, strlen(body), body);
    return put(c, answer, (size_t)length);
}

static int put_stats(Connection *c) {
    char body[512];
    snprintf(body, sizeof body,
             "{\"connections\":%ld,\"requests\":%ld,\"open_streams\":%ld,\"most_streams\":%ld,\"left_early\":%ld,"
             "\"last_left_ns\":%llu}",
             stats.connections, stats.requests, stats.open_streams, stats.most_streams, stats.left_early,
             (unsigned long long)stats.last_left_ns);
    return put_json(c, "200 OK", body);
}

/* `query` is "name=value&...", ended by a space. */
static int set(Connection *c, const char *query) {
    for (; *query && *query != ' '; query += strcspn(query, "& "), query += *query == '&') {
        const char *value = query + strcspn(query, "= ");
        if (*value++ != '=') continue;
        if (!strncmp(query, "tokens=", 7)) settings.tokens = atol(value);
        if (!strncmp(query, "interval_us=", 12)) settings.interval_us = atol(value);
        if (!strncmp(query, "together=", 9)) settings.together = atol(value);
        if (!strncmp(query, "stall_at=", 9)) settings.stall_at = atol(value);
    }
    if (settings.together > MOST_TOGETHER) settings.together = MOST_TOGETHER;
    long open = stats.open_streams;
    memset(&stats, 0, sizeof stats);
    stats.open_streams = open;
    return put_json(c, "200 OK", "{}");
}

/* ---- requests ------------------------------------------------------------------------------------------------- */

static int wants_stream(const char *body) {
    const char *at = strstr(body, "\"stream\"");
    if (!at) return 0;
    at += LENGTH("\"stream\"");
    return !strncmp(at + strspn(at, " :"), "true", 4);
}

static int answer_chat(Connection *c, const char *body) {
    char whole[3072];
    if (wants_stream(body)) return begin_stream(c);
    whole_answer(whole, sizeof whole, settings.tokens);
    return put_json(c, "200 OK", whole);
}

/* `request` is one whole request, ended by a zero. */
static int answer(Connection *c, const char *request, const char *body) {
    const char *path = strchr(request, ' ');
    if (!path) return CLOSE;
    size_t length = strcspn(++path, " ?\r");
    stats.requests++;
    if (!strncmp(path, "/stats", length)) return put_stats(c);
    if (!strncmp(path, "/set", length)) return set(c, path + length + (path[length] == '?'));
    if (memmem(path, length, "/models", 7))
        return put_json(c, "200 OK", "{\"object\":\"list\",\"data\":[{\"id\":\"fake\",\"object\":\"model\",\"created\":1,\"owned_by\":\"fake\"}]}");
    if (memmem(path, length, "/chat/completions", 17)) return answer_chat(c, body);
    return put_json(c, "404 Not Found", "{\"error\":{\"message\":\"no such path\",\"type\":\"invalid_request_error\"}}");
}

/* Answers the requests that have come, as far as they are whole and no stream is under way. */
static int serve_next(Connection *c) {
    while (c->state == READING && c->in_length) {
        c->in[c->in_length] = 0;
        char *head_end = strstr(c->in, "\r\n\r\n");
        if (!head_end) return FINE;
        const char *header = strcasestr(c->in, "\r\ncontent-length:");
        size_t body_length = header && header < head_end ? strtoul(header + LENGTH("\r\ncontent-length:"), NULL, 10) : 0;
        size_t used = (size_t)(head_end + 4 - c->in) + body_length;
        if (used > c->in_length) return FINE;
        /* The request leaves the buffer first: its answer may come to serve the next one. */
        char *request = strndup(c->in, used), *body = request + (head_end + 4 - c->in);
        memmove(c->in, c->in + used, c->in_length - used);
        c->in_length -= used;
        int result = answer(c, request, body);
        free(request);
        if (result) return result;
    }
    return FINE;
}

static int take_input(Connection *c) {
    if (c->in_room - c->in_length < WAITING_ROOM) c->in = realloc(c->in, c->in_room = 2 * c->in_room + 2 * WAITING_ROOM);
    ssize_t taken = recv(c->fd, c->in + c->in_length, c->in_room - c->in_length - 1, 0);
    if (taken < 0) return errno == EAGAIN ? FINE : CLOSE;
    if (taken == 0) return CLOSE;
    c->in_length += (size_t)taken;
    return serve_next(c);
}

/* ---- the loop ------------------------------------------------------------------------------------------------- */

static int listen_on(int port) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) {
        perror("upstream");
        exit(1);
    }
    struct epoll_event interest = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &interest);
    return listener;
}

static void handle(Connection *c, uint32_t what) {
    int result = FINE;
    if (what & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) result = CLOSE;
    else {
        if (what & EPOLLIN) result = take_input(c);
        if (!result && what & EPOLLOUT) {
            result = put_the_rest(c);
            if (!result && !c->out_length && c->state == STREAMING) result = go_on(c);
        }
    }
    if (result) close_connection(c);
}

/* Until the next stream is due; NULL: as long as it takes. */
static struct timespec *time_to_wait(struct timespec *wait) {
    if (!ready_length && !heap_length) return NULL;
    uint64_t now = now_ns(), ns = !ready_length && heap[0]->due > now ? heap[0]->due - now : 0;
    *wait = (struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    return wait;
}

int main(int count, char **arguments) {
    if (count != 2) {
        fprintf(stderr, "usage: upstream PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit(MOST_FILES);
    epoll = epoll_create1(0);
    int listener = listen_on(atoi(arguments[1]));
    struct epoll_event events[EVENTS_A_TURN];
    for (;;) {
        struct timespec wait;
        int happened = epoll_pwait2(epoll, events, EVENTS_A_TURN, time_to_wait(&wait), NULL);
        for (int i = 0; i < happened; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                for (int taken; (taken = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) open_connection(taken);
            else if (connections[fd]) handle(connections[fd], events[i].events);
        }
        for (uint64_t now = now_ns(); heap_length && heap[0]->due <= now;) {
            Connection *c = heap[0];
            wait_no_more(c);
            if (go_on(c)) close_connection(c);
        }
        for (int i = ready_length - 1; i >= 0; i--)
            if (i < ready_length) {
                Connection *c = ready[i];
                if (go_on(c)) close_connection(c);
            }
    }
}
