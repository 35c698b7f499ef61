/* The least that a fan-out can cost, for fanout.py: one thread, each event framed once, send() to every reader of it.
 *
 *   fanout_floor PORT INGEST_PORT
 *
 * Readers say in the request line which topic they follow (`?topic=7`); there is no check of anything. Events come as
 * lines `<topic> <payload>` on the other port. Who does not keep up is waited for.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FDS = 32768, MAX_TOPICS = 5000, LINES = 1 << 20, REQUEST = 4096, MOST_PAYLOAD = 65535, WAIT_MS = 5000 };

struct topic {
    int *fds;
    int count, room;
};

static struct topic topics[MAX_TOPICS];
static int topic_of[MAX_FDS], listener, ingest_listener, ingest = -1, poller;
static char lines[LINES];
static size_t lines_size;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)) fail("listen");
    return fd;
}

static void watch(int fd) {
    struct epoll_event wanted = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &wanted)) fail("epoll");
}

static void send_all(int fd, const char *data, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t n = send(fd, data + done, size - done, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) done += (size_t)n;
        else if (errno == EAGAIN) {
            struct pollfd full = {.fd = fd, .events = POLLOUT};
            if (poll(&full, 1, WAIT_MS) <= 0) return;
        } else return; /* it is going; its end is read from it */
    }
}

static void add(int number, int fd) {
    struct topic *topic = &topics[number];
    if (topic->count == topic->room) {
        topic->room = topic->room ? 2 * topic->room : 8;
        topic->fds = realloc(topic->fds, (size_t)topic->room * sizeof *topic->fds);
        if (topic->fds == NULL) fail("memory");
    }
    topic->fds[topic->count++] = fd;
    topic_of[fd] = number;
}

static void end(int fd) {
    struct topic *topic = topic_of[fd] >= 0 ? &topics[topic_of[fd]] : NULL;
    for (int i = 0; topic != NULL && i < topic->count; i++)
        if (topic->fds[i] == fd) {
            topic->fds[i] = topic->fds[--topic->count];
            break;
        }
    topic_of[fd] = -1;
    close(fd);
}

static void from_reader(int fd) {
    static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
                                 "\x81\x17{\"type\":\"live\",\"seq\":0}";
    char text[REQUEST];
    ssize_t got = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
    if (got <= 0) {
        end(fd);
        return;
    }
    text[got] = 0;
    const char *named = strstr(text, "topic=");
    if (topic_of[fd] >= 0 || named == NULL || (unsigned)atoi(named + 6) >= MAX_TOPICS) return;
    send_all(fd, answer, sizeof answer - 1);
    add(atoi(named + 6), fd);
}

static void fan_out(const char *line, size_t size) {
    static char frame[MOST_PAYLOAD + 4];
    const char *payload = memchr(line, ' ', size);
    if (payload == NULL || (unsigned)atoi(line) >= MAX_TOPICS) return;
    const struct topic *topic = &topics[atoi(line)];
    size_t length = size - (size_t)(++payload - line), head = length < 126 ? 2 : 4;
    if (length > MOST_PAYLOAD) fail("payload");
    frame[0] = (char)0x81;
    frame[1] = (char)(length < 126 ? length : 126);
    if (head == 4) frame[2] = (char)(length >> 8), frame[3] = (char)length;
    memcpy(frame + head, payload, length);
    for (int i = 0; i < topic->count; i++) send_all(topic->fds[i], frame, head + length);
}

static void from_ingest(void) {
    ssize_t got = recv(ingest, lines + lines_size, LINES - lines_size, MSG_DONTWAIT);
    if (got <= 0) {
        close(ingest);
        ingest = -1;
        lines_size = 0;
        return;
    }
    lines_size += (size_t)got;
    char *at = lines, *stop = lines + lines_size, *found;
    for (; (found = memchr(at, '\n', (size_t)(stop - at))) != NULL; at = found + 1) fan_out(at, (size_t)(found - at));
    lines_size = (size_t)(stop - at);
    memmove(lines, at, lines_size);
}

static int accepted(int from) {
    int fd = accept4(from, NULL, NULL, SOCK_CLOEXEC), one = 1;
    if (fd < 0 || fd >= MAX_FDS) fail("accept");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    topic_of[fd] = -1;
    watch(fd);
    return fd;
}

int main(int argc, char **argv) {
    struct epoll_event found[1024];
    if (argc != 3 || (poller = epoll_create1(0)) < 0) fail("usage: fanout_floor PORT INGEST_PORT");
    watch(listener = listen_on(atoi(argv[1])));
    watch(ingest_listener = listen_on(atoi(argv[2])));
    puts("ready");
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(poller, found, 1024, -1);
        for (int i = 0; i < n; i++) {
            int fd = found[i].data.fd;
            if (fd == listener) accepted(listener);
            else if (fd == ingest_listener) ingest = accepted(ingest_listener);
            else if (fd == ingest) from_ingest();
            else from_reader(fd);
        }
    }
}
