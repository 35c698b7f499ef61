/* Load client of fanout.py: opens WebSocket connections, publishes events at a fixed pace, checks and times every delivery.
 *
 * One thread. It reads commands on stdin and answers each with one line of JSON:
 *
 *   connect N                        open connections until there are N; connection i follows topic i modulo topics
 *   subscribe                        ask for the topics (servers that need it), wait until every reader is live
 *   send EVENTS RATE DRAIN_S SEQ     publish EVENTS in turn over the topics, RATE a second whether or not anybody keeps
 *                                    up; wait until all were delivered, at most DRAIN_S seconds; SEQ numbers messages
 *
 * A reader's events must come in order, each once: a frame covers `first_seq`..`seq` (only `seq` where it is one event),
 * begins right after the one before, names the reader's own topic, and holds one stamp `~<16 digits>~` for each event.
 * With `--centrifugo HELLO` readers say HELLO and speak Centrifugo's JSON protocol, of which they need five messages.
 * The stamp is the monotonic clock in nanoseconds at which the event was due, so that lateness counts, whosever it is.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 20000, MAX_TOPICS = 5000, NAME = 64, IN_FLIGHT = 64, READ = 1 << 18, OUT = 1 << 22 };
enum { MAX_TEMPLATE = 4096, BUCKETS = 2000000, BUCKET_NS = 10000, NAP_NS = 300000, MAX_DUE = 2000, TIMEOUT_S = 60 };
enum state { FREE, OPENING, SHAKING, OPEN, CONNECTED, LIVE };

struct reader {
    int fd;
    int topic;
    enum state state;
    uint64_t seq;
    uint8_t *rest; /* of a frame that is not complete */
    size_t rest_size;
};

struct topic {
    char name[NAME];
    size_t name_size;
    uint64_t seq;
    bool known;
};

static struct reader readers[MAX_CONNECTIONS];
static struct topic topics[MAX_TOPICS];
static int connections, topic_count, connected, live, shaking;
static uint32_t buckets[BUCKETS];
static uint8_t input[2 * READ];
static char out[OUT];
static size_t out_start, out_size;
static char template[MAX_TEMPLATE];
static size_t template_size;
static uint64_t deliveries, frames, bytes, snapshots, skipped, last_ns, max_ns, stamps;
static int poller, publisher = -1, port, nats_port, ingest_port;
static uint64_t first_seq = 1, chunk_chars = 1;
static const char *path = "/ws", *header = "", *owner = "", *hello = "";
static bool welcomed, subscribes, centrifugo;

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("load client: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static double cpu_s(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void nap(void) {
    struct timespec pause = {0, NAP_NS};
    nanosleep(&pause, NULL);
}

/* -- sockets ---------------------------------------------------------------------------------------------------- */

static int dial(int to) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)to)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0) fail("no socket: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        fail("connect: %s", strerror(errno));
    return fd;
}

static void watch(int fd, uint32_t what, uint64_t who, int how) {
    struct epoll_event wanted = {.events = what, .data.u64 = who};
    if (epoll_ctl(poller, how, fd, &wanted)) fail("epoll: %s", strerror(errno));
}

static void write_all(int fd, const void *data, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t n = send(fd, (const char *)data + done, size - done, MSG_NOSIGNAL);
        if (n > 0) done += (size_t)n;
        else if (errno != EAGAIN) fail("send: %s", strerror(errno));
        else nap();
    }
}

static void write_text(int fd, const char *text, size_t size) {
    uint8_t frame[8 + 512];
    size_t head = size < 126 ? 6 : 8;
    if (size > 512) fail("a frame of %zu bytes", size);
    frame[0] = 0x81;
    frame[1] = (uint8_t)(0x80 | (size < 126 ? size : 126));
    if (size >= 126) frame[2] = (uint8_t)(size >> 8), frame[3] = (uint8_t)size;
    memset(frame + head - 4, 0, 4); /* masked with zeros: the bytes stay as they are */
    memcpy(frame + head, text, size);
    write_all(fd, frame, head + size);
}

/* -- frames ----------------------------------------------------------------------------------------------------- */

static uint64_t number_after(const uint8_t *data, size_t size, const char *key, bool *found) {
    const uint8_t *at = memmem(data, size, key, strlen(key)), *end = data + size;
    uint64_t value = 0;
    *found = at != NULL;
    if (at == NULL) return 0;
    for (at += strlen(key); at < end && *at >= '0' && *at <= '9'; at++) value = 10 * value + (uint64_t)(*at - '0');
    return value;
}

static uint64_t count_stamps(const uint8_t *data, size_t size, uint64_t at_ns) {
    const uint8_t *end = data + size;
    uint64_t found = 0;
    for (const uint8_t *p = data; (p = memchr(p, '~', (size_t)(end - p))) != NULL && end - p >= 18; p += 18, found++) {
        uint64_t stamp = 0;
        if (p[17] != '~') fail("half a stamp: %.*s", (int)size, data);
        for (int i = 1; i < 17; i++) stamp = 10 * stamp + (uint64_t)(p[i] - '0');
        uint64_t waited = at_ns > stamp ? at_ns - stamp : 0;
        buckets[waited / BUCKET_NS < BUCKETS ? waited / BUCKET_NS : BUCKETS - 1]++;
        if (waited > max_ns) max_ns = waited;
    }
    stamps += found;
    return found;
}

static void take_event(struct reader *reader, const uint8_t *data, size_t size, uint64_t at_ns) {
    const char *channel = centrifugo ? "\"channel\":\"" : "\"channel\":\"post:";
    const struct topic *topic = &topics[reader->topic];
    const uint8_t *named = memmem(data, size < 64 ? size : 64, channel, strlen(channel));
    bool has_seq, merged;
    uint64_t seq = number_after(data, size, "\"seq\":", &has_seq);
    uint64_t first = number_after(data, size, "\"first_seq\":", &merged);
    if (!merged) first = seq;
    if (named == NULL || memcmp(named + strlen(channel), topic->name, topic->name_size))
        fail("an event of another topic: %.*s", (int)size, data);
    if (!has_seq || first != reader->seq + 1 || seq < first)
        fail("sequence: %lu..%lu after %lu", first, seq, reader->seq);
    if (count_stamps(data, size, at_ns) != seq - first + 1) fail("not one stamp an event: %.*s", (int)size, data);
    reader->seq = seq;
    deliveries += seq - first + 1;
    frames++;
    last_ns = at_ns;
}

static void take_live(struct reader *reader, const uint8_t *data, size_t size) {
    struct topic *topic = &topics[reader->topic];
    bool found;
    uint64_t seq = number_after(data, size, "\"seq\":", &found);
    if (!found) fail("no position: %.*s", (int)size, data);
    if (reader->state == LIVE) { /* it was brought up to date by a snapshot: what that skipped is told apart */
        skipped += seq - reader->seq;
        deliveries += seq - reader->seq;
    } else {
        if (topic->known && topic->seq != seq) fail("readers of one topic begin at %lu and %lu", topic->seq, seq);
        topic->known = true;
        topic->seq = seq;
        if (reader->state < CONNECTED) connected++;
        reader->state = LIVE;
        live++;
    }
    reader->seq = seq;
}

static bool is_type(const uint8_t *data, size_t size, const char *type) {
    return memmem(data, size < 48 ? size : 48, type, strlen(type)) != NULL;
}

static void take(struct reader *reader, const uint8_t *data, size_t size, uint64_t at_ns) {
    if (is_type(data, size, "{\"type\":\"event\"")) take_event(reader, data, size, at_ns);
    else if (is_type(data, size, "\"type\":\"live\"")) take_live(reader, data, size);
    else if (is_type(data, size, "\"type\":\"welcome\"")) reader->state = CONNECTED, connected++;
    else if (is_type(data, size, "\"type\":\"error\"") || is_type(data, size, "\"type\":\"unsubscribed\""))
        fail("refused: %.*s", (int)size, data);
    else if (is_type(data, size, "\"type\":\"snapshot\"") && reader->state == LIVE) snapshots++;
}

static void take_reply(struct reader *reader, const uint8_t *data, size_t size, uint64_t at_ns) {
    if (is_type(data, size, "{\"push\":{")) take_event(reader, data, size, at_ns);
    else if (size == 2) write_text(reader->fd, "{}", 2); /* its ping */
    else if (is_type(data, size, "\"connect\":{")) reader->state = CONNECTED, connected++;
    else if (is_type(data, size, "\"subscribe\":{")) reader->state = LIVE, live++, topics[reader->topic].known = true;
    else fail("refused: %.*s", (int)size, data);
}

static void take_lines(struct reader *reader, const uint8_t *data, size_t size, uint64_t at_ns) {
    uint64_t before = frames;
    for (const uint8_t *end = data + size; data < end;) { /* one frame may hold several messages */
        const uint8_t *stop = memchr(data, '\n', (size_t)(end - data));
        size_t length = (size_t)((stop ? stop : end) - data);
        if (length) take_reply(reader, data, length, at_ns);
        data += length + 1;
    }
    if (frames > before) frames = before + 1;
}

static size_t take_frames(struct reader *reader, const uint8_t *data, size_t size, uint64_t at_ns) {
    size_t done = 0;
    while (size - done >= 2) {
        const uint8_t *frame = data + done;
        size_t head = 2, length = frame[1] & 127;
        if (length == 126) {
            if (size - done < 4) break;
            length = (size_t)frame[2] << 8 | frame[3], head = 4;
        } else if (length == 127) {
            if (size - done < 10) break;
            length = 0, head = 10;
            for (int i = 2; i < 10; i++) length = length << 8 | frame[i];
        }
        if (size - done < head + length) break;
        switch (frame[0]) {
        case 0x81: (centrifugo ? take_lines : take)(reader, frame + head, length, at_ns); break;
        case 0x89: write_all(reader->fd, "\x8a\x80\0\0\0\0", 6); break;
        case 0x88: fail("closed with %d", length >= 2 ? frame[head] << 8 | frame[head + 1] : 0);
        default: fail("a frame that begins with %02x", frame[0]);
        }
        done += head + length;
    }
    return done;
}

static void request(struct reader *reader) {
    char text[4096];
    int size = snprintf(text, sizeof text,
                        "GET %s?topic=%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s%s\r\n",
                        path, reader->topic, port, header, *header ? "\r\n" : "");
    if (size <= 0 || (size_t)size >= sizeof text) fail("the header is too long");
    write_all(reader->fd, text, (size_t)size);
    reader->state = SHAKING;
    watch(reader->fd, EPOLLIN, (uint64_t)(reader - readers), EPOLL_CTL_MOD);
}

static void readable(struct reader *reader, uint64_t at_ns) {
    memcpy(input, reader->rest, reader->rest_size);
    ssize_t got = recv(reader->fd, input + reader->rest_size, READ, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) fail("a connection was lost: %s", got ? strerror(errno) : "end of stream");
    size_t size = reader->rest_size + (size_t)got, done = 0;
    bytes += (uint64_t)got;
    if (reader->state == SHAKING) {
        const uint8_t *end = memmem(input, size, "\r\n\r\n", 4);
        if (end != NULL) {
            if (memcmp(input, "HTTP/1.1 101", 12)) fail("no WebSocket: %.*s", (int)size, input);
            reader->state = OPEN, shaking--;
            if (centrifugo) write_text(reader->fd, hello, strlen(hello));
            else if (!welcomed) reader->state = CONNECTED, connected++;
            done = (size_t)(end - input) + 4;
        }
    }
    if (reader->state >= OPEN) done += take_frames(reader, input + done, size - done, at_ns);
    reader->rest_size = size - done;
    if (reader->rest_size > READ) fail("a frame of more than %d bytes", READ);
    reader->rest = realloc(reader->rest, reader->rest_size ? reader->rest_size : 1);
    if (reader->rest == NULL) fail("no memory");
    memcpy(reader->rest, input + done, reader->rest_size);
}

static void drain_publisher(void) {
    char text[4096];
    ssize_t got = recv(publisher, text, sizeof text - 1, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) fail("the publisher's connection was lost");
    if (got <= 0) return;
    text[got] = 0;
    if (strstr(text, "-ERR")) fail("the broker says %s", text);
    if (strstr(text, "PING\r\n") && out_size + 6 < OUT) memcpy(out + out_size, "PONG\r\n", 6), out_size += 6;
}

static void sweep(void) {
    struct epoll_event found[1024];
    int n = epoll_wait(poller, found, 1024, 0);
    for (int i = 0; i < n; i++) {
        if (found[i].data.u64 == MAX_CONNECTIONS) {
            drain_publisher();
            continue;
        }
        struct reader *reader = &readers[found[i].data.u64];
        if (reader->state == OPENING) request(reader);
        else readable(reader, now_ns());
    }
    if (n < 1024) nap();
}

/* -- commands --------------------------------------------------------------------------------------------------- */

static void expire(uint64_t since_ns, const char *what) {
    if (now_ns() - since_ns > (uint64_t)TIMEOUT_S * 1000000000u) fail("%s took more than %d s", what, TIMEOUT_S);
}

static void open_readers(int wanted) {
    uint64_t start_ns = now_ns();
    if (wanted > MAX_CONNECTIONS) fail("at most %d connections", MAX_CONNECTIONS);
    int before = connections;
    while (connected < wanted) {
        while (connections < wanted && connections - connected < IN_FLIGHT) {
            struct reader *reader = &readers[connections];
            *reader = (struct reader){.fd = dial(port), .topic = connections % topic_count, .state = OPENING};
            watch(reader->fd, EPOLLOUT, (uint64_t)connections++, EPOLL_CTL_ADD);
            shaking++;
        }
        sweep();
        expire(start_ns, "connecting");
    }
    printf("{\"connected\": %d, \"seconds\": %.4f}\n", connected - before, (double)(now_ns() - start_ns) / 1e9);
}

static void subscribe(void) {
    uint64_t start_ns = now_ns();
    for (int i = 0; i < connections; i++) {
        char text[256];
        if (readers[i].state == LIVE) continue;
        const char *ask = centrifugo ? "{\"id\":2,\"subscribe\":{\"channel\":\"%s.chunk\"}}"
                                     : "{\"type\":\"subscribe\",\"channel\":\"post:%s\"}";
        int size = snprintf(text, sizeof text, ask, topics[readers[i].topic].name);
        if (subscribes) write_text(readers[i].fd, text, (size_t)size);
        if (i % 50 == 49) sweep();
    }
    while (live < connections) {
        sweep();
        expire(start_ns, "subscribing");
    }
    printf("{\"live\": %d, \"seconds\": %.4f}\n", live, (double)(now_ns() - start_ns) / 1e9);
}

static size_t payload(char *to, struct topic *topic, uint64_t due_ns) {
    char *at = to;
    uint64_t start = (topic->seq - first_seq) * chunk_chars;
    for (size_t i = 0; i < template_size; i++) {
        switch (template[i]) {
        case 1: at += sprintf(at, "%lu", topic->seq); break;
        case 2: at += sprintf(at, "%lu", start); break;
        case 3: at += sprintf(at, "%lu", start + chunk_chars); break;
        case 4: at += sprintf(at, "%016lu", due_ns); break;
        case 5: memcpy(at, topic->name, topic->name_size), at += topic->name_size; break;
        default: *at++ = template[i];
        }
    }
    return (size_t)(at - to);
}

static bool publish(int topic_index, uint64_t due_ns, uint64_t stream_seq) {
    static char body[2 * MAX_TEMPLATE];
    struct topic *topic = &topics[topic_index];
    if (OUT - out_size < 4 * MAX_TEMPLATE) return false;
    topic->seq++;
    size_t size = payload(body, topic, due_ns);
    char *at = out + out_size;
    if (nats_port) {
        char head[128];
        int head_size = sprintf(head, "NATS/1.0\r\nNats-Stream: EVENTS\r\nNats-Sequence: %lu\r\n\r\n", stream_seq);
        at += sprintf(at, "HPUB live.posts.%s.%s.chunk %d %zu\r\n%s", owner, topic->name, head_size,
                      (size_t)head_size + size, head);
    } else {
        at += sprintf(at, "%d ", topic_index);
    }
    memcpy(at, body, size);
    at += size;
    at = nats_port ? stpcpy(at, "\r\n") : stpcpy(at, "\n");
    out_size = (size_t)(at - out);
    return true;
}

static void flush_out(void) {
    while (out_start < out_size) {
        ssize_t n = send(publisher, out + out_start, out_size - out_start, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) fail("publishing: %s", strerror(errno));
        out_start += (size_t)n;
    }
    if (out_start == out_size) out_start = out_size = 0;
    else if (out_start > OUT / 2) {
        memmove(out, out + out_start, out_size - out_start);
        out_size -= out_start, out_start = 0;
    }
}

static double percentile_ms(double share) {
    uint64_t wanted = (uint64_t)((double)stamps * share), seen = 0;
    for (int i = 0; i < BUCKETS; i++)
        if ((seen += buckets[i]) > wanted) return (double)i * BUCKET_NS / 1e6;
    return 0;
}

static void send_events(uint64_t events, double rate, double drain_s, uint64_t stream_seq) {
    uint64_t expected = 0, sent = 0, late_ns = 0, ended_ns = 0;
    memset(buckets, 0, sizeof buckets);
    deliveries = frames = bytes = snapshots = skipped = max_ns = stamps = 0;
    for (uint64_t i = 0; i < events; i++) {
        int topic = (int)(i % (uint64_t)topic_count);
        expected += (uint64_t)(connections / topic_count + (topic < connections % topic_count));
    }
    double used_s = cpu_s();
    uint64_t start_ns = now_ns();
    last_ns = start_ns;
    while (deliveries < expected) {
        uint64_t at_ns = now_ns();
        for (int n = 0; n < MAX_DUE && sent < events; n++) {
            uint64_t due_ns = start_ns + (uint64_t)((double)sent / rate * 1e9);
            if (due_ns > at_ns || !publish((int)(sent % (uint64_t)topic_count), due_ns, stream_seq + sent)) break;
            if (at_ns - due_ns > late_ns) late_ns = at_ns - due_ns;
            if (++sent == events) ended_ns = at_ns;
        }
        flush_out();
        sweep();
        if (ended_ns && (double)(now_ns() - ended_ns) / 1e9 > drain_s) break;
        if (!ended_ns) expire(start_ns, "sending");
    }
    printf("{\"events\": %lu, \"expected\": %lu, \"deliveries\": %lu, \"frames\": %lu, \"bytes\": %lu, \"seconds\": %.4f, "
           "\"p50_ms\": %.2f, \"p99_ms\": %.2f, \"max_ms\": %.2f, \"late_ms\": %.2f, \"snapshots\": %lu, \"skipped\": %lu, "
           "\"client_cpu_s\": %.3f}\n",
           sent, expected, deliveries, frames, bytes, (double)(last_ns - start_ns) / 1e9, percentile_ms(0.5),
           percentile_ms(0.99), (double)max_ns / 1e6, (double)late_ns / 1e6, snapshots, skipped, cpu_s() - used_s);
}

/* -- start ------------------------------------------------------------------------------------------------------ */

static void read_files(const char *topics_file, const char *template_file) {
    FILE *file = fopen(topics_file, "r");
    if (file == NULL) fail("%s: %s", topics_file, strerror(errno));
    for (char line[NAME]; topic_count < MAX_TOPICS && fgets(line, sizeof line, file) != NULL; topic_count++) {
        struct topic *topic = &topics[topic_count];
        topic->name_size = strcspn(line, "\n");
        memcpy(topic->name, line, topic->name_size);
    }
    fclose(file);
    file = fopen(template_file, "rb");
    if (file == NULL) fail("%s: %s", template_file, strerror(errno));
    template_size = fread(template, 1, sizeof template, file);
    fclose(file);
    if (topic_count == 0 || template_size == 0 || template_size == sizeof template) fail("no topics or no template");
}

static void open_publisher(void) {
    static const char hello[] = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,"
                                "\"name\":\"fanout\",\"lang\":\"c\",\"version\":\"1\"}\r\nPING\r\n";
    char text[8192] = "";
    size_t size = 0;
    publisher = dial(nats_port ? nats_port : ingest_port);
    for (uint64_t start_ns = now_ns(); nats_port && strstr(text, "INFO") == NULL; expire(start_ns, "the broker")) {
        ssize_t got = recv(publisher, text + size, sizeof text - 1 - size, 0);
        if (got > 0) size += (size_t)got;
        nap();
    }
    for (int tries = 0; tries < 1000; tries++) { /* until it is connected */
        int error = 0;
        socklen_t length = sizeof error;
        struct sockaddr_in peer;
        socklen_t peer_length = sizeof peer;
        getsockopt(publisher, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error) fail("nobody takes events: %s", strerror(error));
        if (getpeername(publisher, (struct sockaddr *)&peer, &peer_length) == 0) break;
        nap();
    }
    if (nats_port) write_all(publisher, hello, sizeof hello - 1);
    watch(publisher, EPOLLIN, MAX_CONNECTIONS, EPOLL_CTL_ADD);
}

int main(int argc, char **argv) {
    const char *topics_file = "", *template_file = "";
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (!strcmp(name, "--port")) port = atoi(value);
        else if (!strcmp(name, "--nats-port")) nats_port = atoi(value), subscribes = welcomed = true;
        else if (!strcmp(name, "--ingest-port")) ingest_port = atoi(value);
        else if (!strcmp(name, "--header")) header = value;
        else if (!strcmp(name, "--centrifugo")) centrifugo = subscribes = true, hello = value, path = "/connection/websocket";
        else if (!strcmp(name, "--owner")) owner = value;
        else if (!strcmp(name, "--topics")) topics_file = value;
        else if (!strcmp(name, "--template")) template_file = value;
        else if (!strcmp(name, "--first-seq")) first_seq = strtoull(value, NULL, 10);
        else if (!strcmp(name, "--chunk-chars")) chunk_chars = strtoull(value, NULL, 10);
        else fail("what is %s?", name);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    read_files(topics_file, template_file);
    if ((poller = epoll_create1(EPOLL_CLOEXEC)) < 0) fail("epoll: %s", strerror(errno));
    open_publisher();
    for (char line[256]; fgets(line, sizeof line, stdin) != NULL;) {
        int wanted;
        uint64_t events, stream_seq;
        double rate, drain_s;
        if (sscanf(line, "connect %d", &wanted) == 1) open_readers(wanted);
        else if (!strncmp(line, "subscribe", 9)) subscribe();
        else if (sscanf(line, "send %lu %lf %lf %lu", &events, &rate, &drain_s, &stream_seq) == 4)
            send_events(events, rate, drain_s, stream_seq);
        else fail("what is %s", line);
    }
    return 0;
}
