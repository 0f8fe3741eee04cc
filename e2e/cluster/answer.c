// A peer for tests of the cluster's network, static so that an image needs nothing else:
//   answer serve PORT WORD     answers each TCP connection with WORD
//   answer ask ADDRESS PORT    prints what an IPv4 address answers; fails after two seconds without
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int fail(const char *what) {
    perror(what);
    return 1;
}

static struct sockaddr_in address(in_addr_t host, const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port)), .sin_addr.s_addr = host};
    return address;
}

static int serve(const char *port, const char *word) {
    int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    struct sockaddr_in here = address(htonl(INADDR_ANY), port);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 64)) {
        return fail("listen");
    }
    for (;;) {
        int peer = accept(listener, 0, 0);
        if (peer < 0) {
            return fail("accept");
        }
        // Without SIGPIPE: a peer that has left is no reason to end.
        send(peer, word, strlen(word), MSG_NOSIGNAL);
        close(peer);
    }
}

static int ask(const char *host, const char *port) {
    int peer = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval patience = {.tv_sec = 2};
    struct sockaddr_in there = address(inet_addr(host), port);
    char answer[256];
    ssize_t size;
    // Linux bounds connect() by the time-out for sending.
    setsockopt(peer, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(peer, (struct sockaddr *)&there, sizeof there)) {
        return fail("connect");
    }
    size = recv(peer, answer, sizeof answer, MSG_WAITALL);
    if (size <= 0) {
        return fail("recv");
    }
    fwrite(answer, 1, (size_t)size, stdout);
    return 0;
}

int main(int count, char **words) {
    if (count == 4 && !strcmp(words[1], "serve")) {
        return serve(words[2], words[3]);
    }
    if (count == 4 && !strcmp(words[1], "ask")) {
        return ask(words[2], words[3]);
    }
    fprintf(stderr, "usage: answer serve PORT WORD | answer ask ADDRESS PORT\n");
    return 2;
}
