/* The load generator of `make bench`: N connections at once, TLS 1.3 with client certificates or plain HTTP/1.1.
 *
 *   load new|storm|visit|keep PORT NAME CONNECTIONS COUNT REQUESTS [CHAIN.pem KEY.pem]...
 *   load plain PORT NAME CONNECTIONS COUNT REQUESTS [EXPECTED]
 *
 * MODE         new:   each request on a new connection with a full handshake; COUNT connections in all.
 *              storm: all at once, from many addresses of loopback; who is refused comes again after a second, and who is served stays.
 *              visit: as storm, but a client that is served leaves, and one that has got no byte after CONNECT_SECONDS connects again.
 *              keep:  CONNECTIONS are opened first with a request each, unmeasured; then COUNT requests go over them,
 *                     at most 256 at once.
 *              plain: as keep, without TLS.
 * NAME         the server name (SNI).
 * REQUESTS     a file of requests as they are, each after a line with its length in decimal; sent in turn.
 * CHAIN, KEY   client certificates with their chain, used in turn.
 * EXPECTED     a text that every answer should contain, within 64 KiB; answers without it are counted (`lacking`).
 *
 * One thread, non-blocking sockets, epoll. No session is resumed. The server's certificate is decoded once and never verified: its
 * cost is not the server's, and every peer is asked in the same way. It prints `ready` and begins when a line comes on standard input, so
 * that what was used before can be noted. At the end it prints one JSON object: counts by status, connections that
 * ended without an answer (`refused`), percentiles of the time from connect (new, storm: the first one) or from sending
 * (keep) to the last byte of the answer, the seconds that it took, and the seconds of CPU that it used itself.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 65536, MOST_CONTEXTS = 4096, SILENT_SECONDS = 30, MOST_AT_ONCE = 256, PER_ADDRESS = 10000, KNOWN_CERTIFICATES = 16 };
enum { ROUND = 256, MOST_AGAIN = ROUND / 4 }; /* events, and clients that come again, in one round: each makes four events at most, so that no handshake waits for thousands of clients */
static const double PAUSE_SECONDS = 1.0; /* before a refused client comes again */
static const double CONNECT_SECONDS = 10.0; /* until the first byte comes: the kernel alone would wait for more than a minute before it asks again */
enum state { CONNECTING, SHAKING, CONNECTED, SENDING, READING, IDLE };

struct bytes { char *data; size_t length; };
struct connection {
  int fd;
  SSL *tls;
  enum state state;
  uint32_t watched;
  double again;      /* when a refused client comes again */
  double opened;     /* this socket */
  double began;      /* connect, or the sending of this request */
  size_t sent;
  const struct bytes *request;
  char head[BUFFER]; /* of the answer, until its end was found */
  size_t have;
  long long left;    /* bytes of the body yet to come; -1 while the head is read, -2 for a chunked body */
  int status;
};

static int is_new, is_plain, is_storm, is_visit, is_opening, epoll;
struct attempt { struct connection *by; double opened; };
static struct connection **waiting;
static struct attempt *attempts; /* of the last CONNECT_SECONDS, in order */
static long first_attempt, last_attempt, most_attempts;
static long first_waiting, last_waiting, most_waiting;
static struct connection *every;
static long count, turned; /* connections in all; of those kept, how many had their turn */
static long total, started, finished, refused, lacking, by_status[1000];
static size_t contexts, requests;
static SSL_CTX *context[MOST_CONTEXTS];
static struct bytes *request;
static struct sockaddr_in address;
static const char *name, *expected;
static float *latencies;
static long latency_count, turn;
static char why[256];

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void die(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, errno ? strerror(errno) : "");
  ERR_print_errors_fp(stderr);
  exit(2);
}

static void read_requests(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) die(path);
  unsigned long length;
  while (fscanf(file, "%lu", &length) == 1) {
    if (fgetc(file) != '\n') die("a length without a line end");
    request = realloc(request, (requests + 1) * sizeof *request);
    char *data = malloc(length);
    if (!request || !data || fread(data, 1, length, file) != length) die("a request is cut off");
    request[requests++] = (struct bytes){data, length};
  }
  fclose(file);
  if (!requests) die("no request");
}

/* Takes the place of libcrypto's function also for libssl, because the dynamic linker finds that of the program first.
 * OpenSSL 3.0 would need two fifths of a handshake to decode certificates that are the same each time. */
X509 *d2i_X509(X509 **given, const unsigned char **from, long length) {
  static struct { unsigned char *data; long length; X509 *decoded; } known[KNOWN_CERTIFICATES];
  static size_t have;
  X509 *found = NULL;
  for (size_t at = 0; given && at < have && !found; at++)
    if (known[at].length == length && !memcmp(known[at].data, *from, (size_t)length)) found = known[at].decoded;
  if (found) {
    if (!X509_up_ref(found)) die("no room");
    X509_free(*given);
    *from += length;
    return *given = found;
  }
  const unsigned char *begin = *from;
  found = (X509 *)ASN1_item_d2i((ASN1_VALUE **)given, from, length, ASN1_ITEM_rptr(X509));
  if (found && given && have < KNOWN_CERTIFICATES) {
    if (!(known[have].data = malloc((size_t)length)) || !X509_up_ref(found)) die("no room");
    memcpy(known[have].data, begin, (size_t)length);
    known[have].length = length;
    known[have++].decoded = found;
  }
  return found;
}

static int verify_nothing(X509_STORE_CTX *chain, void *none) {
  (void)chain, (void)none;
  return 1;
}

static SSL_CTX *make_context(const char *chain, const char *key) {
  static const unsigned char http[] = "\x08http/1.1";
  SSL_CTX *made = SSL_CTX_new(TLS_client_method());
  if (!made || !SSL_CTX_set_min_proto_version(made, TLS1_3_VERSION)) die("TLS");
  SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(made, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_cert_verify_callback(made, verify_nothing, NULL); /* without it OpenSSL looks for a chain, and ignores what it finds */
  SSL_CTX_set_alpn_protos(made, http, sizeof http - 1);
  if (chain && (SSL_CTX_use_certificate_chain_file(made, chain) != 1 ||
                SSL_CTX_use_PrivateKey_file(made, key, SSL_FILETYPE_PEM) != 1))
    die(chain);
  return made;
}

static void go_on(struct connection *one);

static void watch(struct connection *one, int how, uint32_t events) {
  if (how == EPOLL_CTL_MOD && one->watched == events) return;
  one->watched = events;
  struct epoll_event event = {.events = events, .data.ptr = one};
  if (epoll_ctl(epoll, how, one->fd, &event)) die("epoll_ctl");
}

static void open_connection(struct connection *one) {
  int yes = 1;
  one->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (one->fd < 0) die("socket");
  setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  one->opened = now();
  if (!one->again) one->began = one->opened;
  one->state = CONNECTING;
  if (is_storm) {
    uint32_t own = 65536 * (uint32_t)(getpid() % 200); /* several generators share no address, and so no port */
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 256 + own + (uint32_t)(turn / PER_ADDRESS % 200))};
    if (bind(one->fd, (struct sockaddr *)&from, sizeof from)) die("bind");
  }
  if (!is_plain) {
    one->tls = SSL_new(context[(size_t)turn % contexts]);
    if (!one->tls || !SSL_set_fd(one->tls, one->fd) || !SSL_set_tlsext_host_name(one->tls, name)) die("SSL_new");
    SSL_set_connect_state(one->tls);
  }
  if (connect(one->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) die("connect");
  turn++;
  watch(one, EPOLL_CTL_ADD, EPOLLOUT);
  if (is_visit) {
    if (last_attempt - first_attempt >= most_attempts) die("too many connect");
    attempts[last_attempt++ % most_attempts] = (struct attempt){one, one->opened};
  }
}

static void close_connection(struct connection *one) {
  if (one->tls) {
    SSL_shutdown(one->tls);
    SSL_free(one->tls);
    one->tls = NULL;
  }
  close(one->fd);
  one->fd = -1;
  one->state = IDLE;
}

static void begin_request(struct connection *one) {
  one->request = &request[(size_t)started % requests];
  started++;
  one->sent = one->have = 0;
  one->left = -1;
  one->state = SENDING;
  if (!is_new) one->began = now();
}

/* The connection ended without an answer. In the mode `keep` another one takes its place, so that all are counted. */
static void give_up(struct connection *one, const char *what) {
  int asked = one->state == SENDING || one->state == READING;
  if (!why[0]) snprintf(why, sizeof why, "%s: %s", what, ERR_peek_error() ? ERR_reason_error_string(ERR_peek_error()) : strerror(errno));
  ERR_clear_error();
  close_connection(one);
  refused++;
  if (is_storm) {
    if (last_waiting - first_waiting >= most_waiting) die("too many wait");
    one->again = now() + PAUSE_SECONDS;
    waiting[last_waiting++ % most_waiting] = one;
  } else if (is_new) {
    finished++;
    if (started < total) { started++; open_connection(one); }
  } else {
    if (asked && !is_opening) finished++;
    if (refused > total) die("every connection is refused");
    open_connection(one);
  }
}

/* Whether the answer is complete. */
static int parse_answer(struct connection *one) {
  one->head[one->have] = 0;
  if (one->left == -1) {
    char *end = strstr(one->head, "\r\n\r\n");
    if (!end) return 0;
    one->status = atoi(one->head + 9);
    size_t after = one->have - (size_t)(end + 4 - one->head);
    char *length = strcasestr(one->head, "\r\ncontent-length:");
    if (length && length < end) {
      one->left = atoll(length + 17) - (long long)after;
    } else if (one->status == 204 || one->status == 304) {
      one->left = 0;
    } else {
      one->left = -2;
    }
  }
  if (one->left == -2) return one->have >= 5 && !memcmp(one->head + one->have - 5, "0\r\n\r\n", 5);
  return one->left <= 0;
}

/* Of kept connections, let the next one open, or send its first request. */
static void let_next(void) {
  if (turned >= count) return;
  struct connection *next = &every[turned++];
  if (is_opening) { open_connection(next); return; }
  begin_request(next);
  go_on(next);
}

static void finish(struct connection *one) {
  latencies[latency_count++] = (float)((now() - one->began) * 1e6);
  by_status[one->status > 0 && one->status < 1000 ? one->status : 0]++;
  if (expected && !memmem(one->head, one->have, expected, strlen(expected))) lacking++;
  finished++;
  if (is_storm && !is_visit) {
    one->state = IDLE;
    watch(one, EPOLL_CTL_DEL, 0); /* it stays open */
  } else if (is_new) {
    close_connection(one);
    if (started < total) { started++; open_connection(one); }
  } else if (turned < count) {
    one->state = IDLE;
    watch(one, EPOLL_CTL_MOD, 0);
    let_next();
  } else if (!is_opening && started < total) {
    begin_request(one);
  } else {
    one->state = IDLE;
    watch(one, EPOLL_CTL_MOD, 0);
  }
}

/* What OpenSSL waits for: 0 for an end. */
static uint32_t wanted(struct connection *one, int result) {
  switch (SSL_get_error(one->tls, result)) {
    case SSL_ERROR_WANT_READ: return EPOLLIN;
    case SSL_ERROR_WANT_WRITE: return EPOLLOUT;
    default: return 0;
  }
}

static void go_on(struct connection *one) {
  for (;;) {
    uint32_t wait = EPOLLIN;
    if (one->state == CONNECTING) {
      int fault = 0;
      socklen_t size = sizeof fault;
      getsockopt(one->fd, SOL_SOCKET, SO_ERROR, &fault, &size);
      errno = fault;
      if (fault) { give_up(one, "connect"); return; }
      one->state = is_plain ? CONNECTED : SHAKING;
    }
    if (one->state == SHAKING) {
      int done = SSL_do_handshake(one->tls);
      if (done != 1) {
        wait = wanted(one, done);
        if (!wait) { give_up(one, "handshake"); return; }
        watch(one, EPOLL_CTL_MOD, wait);
        return;
      }
      one->state = CONNECTED;
    }
    if (one->state == CONNECTED) {
      if (is_new) started--; /* counted when the connection was opened */
      begin_request(one);
    }
    if (one->state == SENDING) {
      while (one->sent < one->request->length) {
        const char *from = one->request->data + one->sent;
        int size = (int)(one->request->length - one->sent);
        int gone = is_plain ? (int)send(one->fd, from, (size_t)size, MSG_NOSIGNAL) : SSL_write(one->tls, from, size);
        if (gone <= 0) {
          wait = is_plain ? (errno == EAGAIN ? EPOLLOUT : 0) : wanted(one, gone);
          if (!wait) { give_up(one, "write"); return; }
          watch(one, EPOLL_CTL_MOD, wait);
          return;
        }
        one->sent += (size_t)gone;
      }
      one->state = READING;
      watch(one, EPOLL_CTL_MOD, EPOLLIN);
      return; /* no answer can be there yet: save the call that would say so */
    }
    while (one->state == READING) {
      /* The head was read: what follows is counted only, unless a text is looked for in it. */
      if ((one->left >= 0 && !expected) || one->have >= BUFFER - 1) one->have = 0;
      int size = (int)(BUFFER - 1 - one->have);
      int came = is_plain ? (int)recv(one->fd, one->head + one->have, (size_t)size, 0) : SSL_read(one->tls, one->head + one->have, size);
      if (came <= 0) {
        wait = is_plain ? (came < 0 && errno == EAGAIN ? EPOLLIN : 0) : wanted(one, came);
        if (!wait) { give_up(one, "read"); return; }
        watch(one, EPOLL_CTL_MOD, wait);
        return;
      }
      one->have += (size_t)came;
      if (one->left >= 0) one->left -= came;
      if (parse_answer(one)) finish(one);
    }
    if (one->state == CONNECTING) return; /* another connection took its place, and waits for its event */
    if (one->state == IDLE) return;
  }
}

/* If the server's queue was full, only the client's kernel thinks that it is connected, and sends its first bytes in vain. */
static int has_no_byte(const struct connection *one) {
  return one->state == CONNECTING || (one->state == SHAKING && !BIO_number_read(SSL_get_rbio(one->tls)));
}

static void give_up_connecting(void) {
  for (; first_attempt < last_attempt; first_attempt++) {
    struct attempt *at = &attempts[first_attempt % most_attempts];
    if (at->opened + CONNECT_SECONDS > now()) return;
    errno = ETIMEDOUT;
    if (at->by->opened == at->opened && at->by->fd >= 0 && has_no_byte(at->by)) give_up(at->by, "connect");
  }
}

static void come_again(void) {
  for (int opened = 0; opened < MOST_AGAIN && first_waiting < last_waiting && waiting[first_waiting % most_waiting]->again <= now(); opened++)
    open_connection(waiting[first_waiting++ % most_waiting]);
}

static void run(void) {
  struct epoll_event events[ROUND];
  while (finished < total) {
    int has_waiting = first_waiting < last_waiting || first_attempt < last_attempt;
    int ready = epoll_wait(epoll, events, ROUND, has_waiting ? 20 : SILENT_SECONDS * 1000);
    if (ready < 0 && errno != EINTR) die("epoll_wait");
    come_again();
    give_up_connecting();
    if (ready == 0 && !has_waiting) { errno = 0; die("nothing came for 30 seconds"); }
    for (int number = 0; number < ready; number++) {
      struct connection *one = events[number].data.ptr;
      if (one->fd >= 0) go_on(one);
    }
  }
}

static int compare(const void *one, const void *other) {
  float left = *(const float *)one, right = *(const float *)other;
  return (left > right) - (left < right);
}

static double percentile(double share) {
  if (!latency_count) return 0;
  long place = (long)(share * (double)latency_count);
  return latencies[place < latency_count ? place : latency_count - 1];
}

static double cpu(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv) {
  if (argc < 7) { fprintf(stderr, "usage: load new|storm|visit|keep|plain PORT NAME CONNECTIONS COUNT REQUESTS [CHAIN KEY]...|[EXPECTED]\n"); return 2; }
  signal(SIGPIPE, SIG_IGN);
  is_visit = !strcmp(argv[1], "visit");
  is_storm = is_visit || !strcmp(argv[1], "storm");
  is_new = is_storm || !strcmp(argv[1], "new");
  is_plain = !strcmp(argv[1], "plain");
  address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  name = argv[3];
  count = atol(argv[4]);
  total = atol(argv[5]);
  if (count > total || is_storm) count = total;
  most_waiting = count + 1;
  waiting = calloc((size_t)most_waiting, sizeof *waiting);
  most_attempts = is_visit ? (count + 1) * (long)(CONNECT_SECONDS / PAUSE_SECONDS + 2) : 1;
  attempts = calloc((size_t)most_attempts, sizeof *attempts);
  read_requests(argv[6]);
  if (is_plain && argc > 7) expected = argv[7];
  for (int at = 7; !is_plain && at + 1 < argc && contexts < MOST_CONTEXTS; at += 2) context[contexts++] = make_context(argv[at], argv[at + 1]);
  if (!contexts && !is_plain) context[contexts++] = make_context(NULL, NULL);
  every = calloc((size_t)count, sizeof *every);
  latencies = calloc((size_t)(total + count) + 1, sizeof *latencies);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  if (!every || !latencies || !waiting || !attempts || epoll < 0) die("no room");

  if (!is_new) {
    long wanted = total;
    total = count;
    is_opening = 1;
    for (int number = 0; number < MOST_AT_ONCE; number++) let_next();
    run();
    is_opening = 0;
    turned = 0;
    total = wanted;
    started = finished = refused = lacking = latency_count = 0;
    memset(by_status, 0, sizeof by_status);
  }
  printf("ready\n");
  fflush(stdout);
  if (getchar() == EOF) return 2;
  double used = cpu(), began = now();
  for (long number = 0; is_new && number < count; number++) { started++; open_connection(&every[number]); }
  for (int number = 0; !is_new && number < MOST_AT_ONCE; number++) let_next();
  run();
  double seconds = now() - began;
  used = cpu() - used;

  qsort(latencies, (size_t)latency_count, sizeof *latencies, compare);
  printf("{\"seconds\": %.6f, \"cpu_seconds\": %.6f, \"refused\": %ld, \"lacking\": %ld, \"why\": \"%s\", \"statuses\": {", seconds, used, refused, lacking, why);
  const char *comma = "";
  for (int status = 0; status < 1000; status++)
    if (by_status[status]) { printf("%s\"%d\": %ld", comma, status, by_status[status]); comma = ", "; }
  printf("}, \"latency_us\": {\"p50\": %.1f, \"p95\": %.1f, \"p99\": %.1f, \"max\": %.1f}}\n", percentile(.5), percentile(.95), percentile(.99), percentile(1));
  return 0;
}
