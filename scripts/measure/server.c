/* The web server that `scripts/bench` puts behind published ports: one thread, epoll, keep-alive, two bytes of body.
 * It answers every request that ends with an empty line, so what is measured is the path and not the server. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok";

/* How many requests end in these bytes; a client that splits the empty line over two reads is not one of ours. */
static int requests(const char *bytes, ssize_t size) {
    int count = 0;
    for (ssize_t at = 3; at < size; at++)
        if (memcmp(bytes + at - 3, "\r\n\r\n", 4) == 0) count++;
    return count;
}

int main(int argc, char **argv) {
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poller = epoll_create1(0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 8080)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 512)) return 1;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[64];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(poller, ready, 64, -1);
        for (int i = 0; i < count; i++) {
            int peer = ready[i].data.fd;
            if (peer == listener) {
                while ((peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    event.data.fd = peer;
                    epoll_ctl(poller, EPOLL_CTL_ADD, peer, &event);
                }
                continue;
            }
            char bytes[16384];
            ssize_t size = read(peer, bytes, sizeof bytes);
            if (size <= 0) {
                if (size == 0 || errno != EAGAIN) close(peer);
                continue;
            }
            for (int left = requests(bytes, size); left > 0; left--)
                if (write(peer, ANSWER, sizeof ANSWER - 1) < 0) break;
        }
    }
}
