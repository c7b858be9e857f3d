/* A TCP proxy that makes an upstream far away.
 *
 *   delay PORT UPSTREAM_PORT ROUND_TRIP_MS
 *
 * Bytes arrive half a round trip after they were sent, in both directions. A new connection is carried on a whole round
 * trip after it came, as its handshake would have taken that long; what was sent on it meanwhile waits. All on 127.0.0.1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answers.h"

enum { MOST_FILES = 65536, RECEIVED_AT_ONCE = 65536, EVENTS_A_TURN = 256 };

/* Something that will happen: bytes to be sent on a connection (none: its end), or a new connection to be carried on. */
typedef struct Due {
    struct Due *next;
    uint64_t at;
    int fd;
    size_t length;
    char bytes[];
} Due;

typedef struct { Due *first, *last; } Queue; /* each queue's delay is constant, so what comes first is due first */

static int epoll, upstream_port;
static uint64_t round_trip_ns;
static Queue packets, newcomers;
static int peer[MOST_FILES]; /* of each connection, the other one */
static char finished[MOST_FILES]; /* nothing will be sent on it any more */

static void push(Queue *queue, uint64_t delay, int fd, const char *bytes, size_t length) {
    Due *due = malloc(sizeof *due + length);
    *due = (Due){.at = now_ns() + delay, .fd = fd, .length = length};
    if (length) memcpy(due->bytes, bytes, length);
    if (queue->last) queue->last->next = due;
    else queue->first = due;
    queue->last = due;
}

static Due *pop_if_due(Queue *queue, uint64_t now) {
    Due *due = queue->first;
    if (!due || due->at > now) return NULL;
    queue->first = due->next;
    if (!queue->first) queue->last = NULL;
    return due;
}

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void watch(int fd) {
    struct epoll_event interest = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &interest);
}

static void send_at_once(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* The newcomer's handshake would be over now. */
static void carry_on(int client) {
    struct sockaddr_in address = loopback(upstream_port);
    int upstream = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(upstream, (void *)&address, sizeof address)) {
        close(upstream);
        close(client);
        return;
    }
    send_at_once(client);
    send_at_once(upstream);
    peer[client] = upstream;
    peer[upstream] = client;
    for (int i = 0; i < 2; i++) {
        int fd = i ? upstream : client;
        finished[fd] = 0;
        watch(fd);
    }
}

static void take(int from) {
    static char received[RECEIVED_AT_ONCE];
    ssize_t length = recv(from, received, sizeof received, MSG_DONTWAIT);
    if (length < 0) length = 0; /* a reset: the other side sees an end */
    if (length == 0) epoll_ctl(epoll, EPOLL_CTL_DEL, from, NULL);
    push(&packets, round_trip_ns / 2, peer[from], received, (size_t)length);
}

static void deliver(const Due *due) {
    int to = due->fd, from = peer[to];
    if (due->length) {
        send(to, due->bytes, due->length, MSG_NOSIGNAL);
        return;
    }
    shutdown(to, SHUT_WR);
    finished[to] = 1;
    if (!finished[from]) return;
    close(to);
    close(from);
}

static int milliseconds_to_wait(void) {
    uint64_t now = now_ns(), next = UINT64_MAX;
    if (packets.first) next = packets.first->at;
    if (newcomers.first && newcomers.first->at < next) next = newcomers.first->at;
    if (next == UINT64_MAX) return -1;
    return next <= now ? 0 : (int)((next - now) / 1000000); /* rather a turn too many than too late */
}

int main(int count, char **arguments) {
    if (count != 4) {
        fprintf(stderr, "usage: delay PORT UPSTREAM_PORT ROUND_TRIP_MS\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit(MOST_FILES);
    upstream_port = atoi(arguments[2]);
    round_trip_ns = (uint64_t)(atof(arguments[3]) * 1e6);
    epoll = epoll_create1(0);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = loopback(atoi(arguments[1]));
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) {
        perror("delay");
        return 1;
    }
    watch(listener);
    struct epoll_event events[EVENTS_A_TURN];
    for (;;) {
        int happened = epoll_wait(epoll, events, EVENTS_A_TURN, milliseconds_to_wait());
        for (int i = 0; i < happened; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) take(fd);
            else
                for (int client; (client = accept4(listener, NULL, NULL, 0)) >= 0;) push(&newcomers, round_trip_ns, client, NULL, 0);
        }
        Due *due;
        for (uint64_t now = now_ns(); (due = pop_if_due(&newcomers, now)); free(due)) carry_on(due->fd);
        for (uint64_t now = now_ns(); (due = pop_if_due(&packets, now)); free(due)) deliver(due);
    }
}
