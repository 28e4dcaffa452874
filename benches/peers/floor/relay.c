/* The floor: the least that a proxy on one machine can do. One thread, one epoll; each client gets one server connection of its
 * own; what comes is passed on unread: no headers, no pooling, no log. What a proxy takes beyond this is what it does.
 *
 *     cc -O2 -o relay relay.c && ./relay LISTEN_PORT SERVER_PORT        both on 127.0.0.1; ends with SIGTERM
 *
 * It is honest about what it does do: it waits when the other side does not take what it got, and closes both when one ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 16384, BATCH = 256, BACKLOG = 1024 };

/* One end of a relayed connection. `held` bytes from `start` wait until this end takes them; its peer is not read meanwhile. */
struct end {
    int fd;
    struct end *peer;
    unsigned watched;
    size_t start, held;
    char *waiting;
};

static int epoll;
/* One buffer serves all: it is empty again before the next event is looked at. */
static char chunk[CHUNK];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static struct sockaddr_in loopback(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void watch(struct end *end, unsigned events) {
    struct epoll_event event = {.events = events, .data.ptr = end};
    if (end->watched == events) return;
    end->watched = events;
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, end->fd, &event)) die("epoll_ctl");
}

static struct end *end_of(int fd) {
    struct end *end = calloc(1, sizeof *end);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = end};
    int on = 1;
    if (!end) die("calloc");
    end->fd = fd;
    end->watched = EPOLLIN;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
    return end;
}

static void accept_one(int listener, int server_port) {
    struct sockaddr_in address = loopback(server_port);
    int client = accept(listener, NULL, NULL), server;
    if (client < 0) return;
    server = socket(AF_INET, SOCK_STREAM, 0);
    /* On loopback a connection is there at once, or refused. */
    if (server < 0 || connect(server, (struct sockaddr *)&address, sizeof address)) {
        close(client);
        if (server >= 0) close(server);
        return;
    }
    struct end *one = end_of(client), *other = end_of(server);
    one->peer = other;
    other->peer = one;
}

/* Both ends are closed; the memory is freed by the caller, when no event of this batch can name it any more. */
static void finish(struct end *end) {
    close(end->fd);
    close(end->peer->fd);
    end->fd = end->peer->fd = -1;
}

/* Sends what fits. The rest is kept, and the sender is read again when it is gone. -1: the connection is over. */
static int pass(struct end *to, const char *bytes, size_t length) {
    ssize_t sent = send(to->fd, bytes, length, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return -1;
    if (sent < 0) sent = 0;
    if ((size_t)sent == length) return 0;
    if (!to->waiting && !(to->waiting = malloc(CHUNK))) die("malloc");
    to->held = length - sent;
    to->start = 0;
    memcpy(to->waiting, bytes + sent, to->held);
    watch(to, to->watched | EPOLLOUT);
    watch(to->peer, to->peer->watched & ~EPOLLIN);
    return 0;
}

static int readable(struct end *from) {
    /* Not watched for reading, so it was cut off: what waits for its peer goes with it. */
    if (from->peer->held) return -1;
    ssize_t got = recv(from->fd, chunk, CHUNK, 0);
    if (got < 0) return errno == EAGAIN ? 0 : -1;
    return got == 0 ? -1 : pass(from->peer, chunk, got);
}

static int writable(struct end *to) {
    ssize_t sent = send(to->fd, to->waiting + to->start, to->held, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN ? 0 : -1;
    to->start += sent;
    to->held -= sent;
    if (to->held) return 0;
    watch(to, to->watched & ~EPOLLOUT);
    watch(to->peer, to->peer->watched | EPOLLIN);
    return 0;
}

static void serve(struct end *end, unsigned events) {
    int over = 0;
    if (events & EPOLLOUT) over = writable(end);
    if (!over && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) over = readable(end);
    if (over) finish(end);
}

int main(int count, char **arguments) {
    struct epoll_event events[BATCH], accepting = {.events = EPOLLIN};
    struct end *finished[BATCH];
    int listener, on = 1, server_port;
    if (count != 3) return fprintf(stderr, "usage: relay LISTEN_PORT SERVER_PORT\n"), 2;
    struct sockaddr_in address = loopback(atoi(arguments[1]));
    server_port = atoi(arguments[2]);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, BACKLOG)) die("listen");
    if ((epoll = epoll_create1(0)) < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &accepting)) die("epoll");
    for (;;) {
        int ready = epoll_wait(epoll, events, BATCH, -1), dead = 0;
        for (int i = 0; i < ready; i++) {
            struct end *end = events[i].data.ptr;
            if (!end) {
                accept_one(listener, server_port);
            } else if (end->fd >= 0) { /* else its peer has ended it in this very batch */
                serve(end, events[i].events);
                if (end->fd < 0) finished[dead++] = end;
            }
        }
        while (dead--) {
            struct end *end = finished[dead], *peer = end->peer;
            free(end->waiting);
            free(peer->waiting);
            free(peer);
            free(end);
        }
    }
}
