/* A CUDA runtime without a GPU, for tests: the functions that stgcn_deploy calls, checked.
 *
 * Device memory is memory of the host.  A stream keeps its work and does it when somebody waits for it, so that
 * a forgotten wait is seen.  Unknown addresses and handles are errors; so is work for a stream of another device.
 * fake_fail(n, code) makes the n-th call from now fail; fake_live() counts what was not given back.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID_VALUE = 1, NO_DEVICE_NUMBER = 101, INVALID_HANDLE = 400, CAPTURING = 900, NOT_CAPTURING = 901 };
enum { DEVICES = 2, TABLE = 4096, ALIGN = 256 };

typedef enum { COPY, HOST, RECORD, WAIT } Kind;
typedef void (*HostFunction)(void *);
typedef struct Op {
    Kind kind;
    void *to;
    const void *from;
    size_t size;
    HostFunction function;
    void *data;
    void *event;
    unsigned long long ticket;
    struct Op *next;
} Op;
typedef struct { Op *first, *last; } List;
typedef struct { int device, capturing; List work, captured; unsigned long long queued, done; } Stream;
typedef struct { Stream *stream; unsigned long long ticket; } Event;
typedef struct { char *base, *start; size_t size; int device, host; } Region;

static pthread_mutex_t lock;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static Region regions[TABLE];
static void *handles[TABLE];
static char kinds[TABLE]; /* 's'tream, 'e'vent, 'g'raph, e'x'ecutable */
static long calls, fail_at, live;
static int fail_code;
static __thread int current;
static __thread int last_error;
static Stream standard[DEVICES];

static void initialise(void) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&lock, &attributes);
    for (int device = 0; device < DEVICES; device++) standard[device].device = device;
}

static int enter(void) {
    pthread_once(&once, initialise);
    pthread_mutex_lock(&lock);
    calls++;
    if (fail_at && --fail_at == 0) return fail_code;
    return OK;
}

static int leave(int code) {
    pthread_mutex_unlock(&lock);
    if (code) last_error = code;
    return code;
}

#define BEGIN int code = enter(); if (code) return leave(code)

static int add(void *handle, char kind) {
    for (int i = 0; i < TABLE; i++)
        if (!handles[i]) { handles[i] = handle; kinds[i] = kind; live++; return OK; }
    return INVALID_VALUE;
}

static int is(void *handle, char kind) {
    for (int i = 0; i < TABLE; i++) if (handle && handles[i] == handle) return kinds[i] == kind;
    return 0;
}

static void drop(void *handle) {
    for (int i = 0; i < TABLE; i++) if (handles[i] == handle) { handles[i] = NULL; live--; return; }
}

static Stream *stream_of(void *handle) {
    if ((uintptr_t)handle <= 2) return &standard[current]; /* 0, cudaStreamLegacy, cudaStreamPerThread */
    return is(handle, 's') ? handle : NULL;
}

static Region *region_of(const void *address, size_t size) {
    for (int i = 0; i < TABLE; i++) {
        Region *one = &regions[i];
        if (one->base && (const char *)address >= one->start && (const char *)address + size <= one->start + one->size)
            return one;
    }
    return NULL;
}

static void append(List *list, const Op *op) {
    Op *copy = malloc(sizeof *copy);
    *copy = *op;
    copy->next = NULL;
    if (list->last) list->last->next = copy; else list->first = copy;
    list->last = copy;
}

static void clear(List *list) {
    while (list->first) { Op *next = list->first->next; free(list->first); list->first = next; }
    list->last = NULL;
}

static void work_until(Stream *stream, unsigned long long ticket) {
    while (stream->done < ticket && stream->work.first) {
        Op op = *stream->work.first;
        Op *old = stream->work.first;
        stream->work.first = old->next;
        if (!stream->work.first) stream->work.last = NULL;
        free(old);
        stream->done++;
        if (op.kind == COPY) memcpy(op.to, op.from, op.size);
        if (op.kind == HOST) op.function(op.data);
        if (op.kind == WAIT && is(op.event, 'e')) {
            Event *event = op.event;
            if (event->stream) work_until(event->stream, op.ticket);
        }
    }
}

static int put(Stream *stream, const Op *op) {
    if (stream->device != current) return INVALID_HANDLE;
    if (stream->capturing) append(&stream->captured, op);
    else { append(&stream->work, op); stream->queued++; }
    return OK;
}

/* ---- test hooks --------------------------------------------------------------------------------- */
long fake_live(void) { return live; }
long fake_calls(void) { return calls; }
void fake_fail(long n, int code) { pthread_once(&once, initialise); fail_at = n; fail_code = code; }
int fake_capturing(void *handle) { Stream *stream = stream_of(handle); return stream ? stream->capturing : 0; }

/* ---- errors and devices ------------------------------------------------------------------------- */
const char *cudaGetErrorName(int code) {
    return code == 2 ? "cudaErrorMemoryAllocation" : code == INVALID_HANDLE ? "cudaErrorInvalidResourceHandle"
         : code == INVALID_VALUE ? "cudaErrorInvalidValue" : "cudaErrorFake";
}
const char *cudaGetErrorString(int code) { return code == 2 ? "out of memory" : "an error of the fake runtime"; }
int cudaGetLastError(void) { int code = last_error; last_error = OK; return code; }
int cudaRuntimeGetVersion(int *version) { BEGIN; *version = 12060; return leave(OK); }
int cudaGetDeviceCount(int *count) { BEGIN; *count = DEVICES; return leave(OK); }
int cudaGetDevice(int *device) { BEGIN; *device = current; return leave(OK); }
int cudaSetDevice(int device) {
    BEGIN;
    if (device < 0 || device >= DEVICES) return leave(NO_DEVICE_NUMBER);
    current = device;
    return leave(OK);
}
int cudaDeviceGetAttribute(int *value, int attribute, int device) {
    BEGIN;
    if (device < 0 || device >= DEVICES) return leave(NO_DEVICE_NUMBER);
    *value = attribute == 75 ? 8 : attribute == 76 ? 7 : 0;
    return leave(OK);
}
int cudaMemGetInfo(size_t *free_bytes, size_t *total) { BEGIN; *free_bytes = 1u << 30; *total = 1u << 31; return leave(OK); }
typedef struct { int type, device; void *on_device, *on_host; } Attributes;
int cudaPointerGetAttributes(Attributes *found, const void *address) {
    BEGIN;
    Region *region = region_of(address, 1);
    found->type = !region ? 0 : region->host ? 1 : 2;
    found->device = region ? region->device : -2;
    return leave(OK);
}

/* ---- memory ------------------------------------------------------------------------------------- */
static int take(void **address, size_t size, int host) {
    for (int i = 0; i < TABLE; i++) {
        if (regions[i].base) continue;
        Region *one = &regions[i];
        one->base = malloc(size + ALIGN);
        memset(one->base, 0xAB, size + ALIGN); /* nobody may count on zeros */
        one->start = (char *)(((uintptr_t)one->base + ALIGN - 1) / ALIGN * ALIGN);
        one->size = size;
        one->device = current;
        one->host = host;
        *address = one->start;
        live++;
        return OK;
    }
    return 2;
}
static int give_back(void *address, int host) {
    for (int i = 0; i < TABLE; i++) {
        Region *one = &regions[i];
        if (!one->base || one->start != address || one->host != host) continue;
        memset(one->base, 0xCD, one->size);
        free(one->base);
        memset(one, 0, sizeof *one);
        live--;
        return OK;
    }
    return INVALID_VALUE;
}
int cudaMalloc(void **address, size_t size) { BEGIN; return leave(take(address, size, 0)); }
int cudaHostAlloc(void **address, size_t size, unsigned flags) { (void)flags; BEGIN; return leave(take(address, size, 1)); }
int cudaFree(void *address) { BEGIN; return leave(give_back(address, 0)); }
int cudaFreeHost(void *address) { BEGIN; return leave(give_back(address, 1)); }
int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, void *handle) {
    BEGIN;
    Stream *stream = stream_of(handle);
    if (!stream) return leave(INVALID_HANDLE);
    Region *target = region_of(to, size), *source = region_of(from, size);
    int to_device = target && !target->host, from_device = source && !source->host;
    if (to_device != (kind != 2) || from_device != (kind != 1)) return leave(INVALID_VALUE);
    Op op = { .kind = COPY, .to = to, .from = from, .size = size };
    return leave(put(stream, &op));
}

/* ---- streams and events ------------------------------------------------------------------------- */
int cudaStreamCreateWithFlags(void **handle, unsigned flags) {
    (void)flags;
    BEGIN;
    Stream *stream = calloc(1, sizeof *stream);
    stream->device = current;
    *handle = stream;
    return leave(add(stream, 's'));
}
int cudaStreamDestroy(void *handle) {
    BEGIN;
    if (!is(handle, 's')) return leave(INVALID_HANDLE);
    Stream *stream = handle;
    work_until(stream, stream->queued);
    clear(&stream->work);
    clear(&stream->captured);
    drop(handle);
    free(stream);
    return leave(OK);
}
int cudaStreamSynchronize(void *handle) {
    BEGIN;
    Stream *stream = stream_of(handle);
    if (!stream) return leave(INVALID_HANDLE);
    if (stream->capturing) return leave(CAPTURING);
    work_until(stream, stream->queued);
    return leave(OK);
}
int cudaLaunchHostFunc(void *handle, HostFunction function, void *data) {
    BEGIN;
    Stream *stream = stream_of(handle);
    if (!stream) return leave(INVALID_HANDLE);
    Op op = { .kind = HOST, .function = function, .data = data };
    return leave(put(stream, &op));
}
int cudaEventCreateWithFlags(void **handle, unsigned flags) {
    (void)flags;
    BEGIN;
    *handle = calloc(1, sizeof(Event));
    return leave(add(*handle, 'e'));
}
int cudaEventDestroy(void *handle) {
    BEGIN;
    if (!is(handle, 'e')) return leave(INVALID_HANDLE);
    drop(handle);
    free(handle);
    return leave(OK);
}
int cudaEventRecord(void *handle, void *on) {
    BEGIN;
    Stream *stream = stream_of(on);
    if (!stream || !is(handle, 'e')) return leave(INVALID_HANDLE);
    Event *event = handle;
    event->stream = stream;
    event->ticket = stream->queued;
    return leave(OK);
}
int cudaStreamWaitEvent(void *handle, void *on, unsigned flags) {
    (void)flags;
    BEGIN;
    Stream *stream = stream_of(handle);
    if (!stream || !is(on, 'e')) return leave(INVALID_HANDLE);
    Op op = { .kind = WAIT, .event = on, .ticket = ((Event *)on)->ticket };
    return leave(put(stream, &op));
}

/* ---- graphs ------------------------------------------------------------------------------------- */
int cudaStreamBeginCapture(void *handle, int mode) {
    (void)mode;
    BEGIN;
    Stream *stream = is(handle, 's') ? handle : NULL;
    if (!stream) return leave(INVALID_HANDLE);
    if (stream->capturing) return leave(CAPTURING);
    stream->capturing = 1;
    return leave(OK);
}
int cudaStreamEndCapture(void *handle, void **graph) {
    BEGIN;
    Stream *stream = is(handle, 's') ? handle : NULL;
    if (!stream) return leave(INVALID_HANDLE);
    if (!stream->capturing) return leave(NOT_CAPTURING);
    stream->capturing = 0;
    List *list = malloc(sizeof *list);
    *list = stream->captured;
    stream->captured.first = stream->captured.last = NULL;
    *graph = list;
    return leave(add(list, 'g'));
}
int cudaGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags) {
    (void)flags;
    BEGIN;
    if (!is(graph, 'g')) return leave(INVALID_HANDLE);
    List *copy = calloc(1, sizeof *copy);
    for (Op *op = ((List *)graph)->first; op; op = op->next) append(copy, op);
    *executable = copy;
    return leave(add(copy, 'x'));
}
int cudaGraphLaunch(void *executable, void *handle) {
    BEGIN;
    Stream *stream = stream_of(handle);
    if (!stream || !is(executable, 'x')) return leave(INVALID_HANDLE);
    for (Op *op = ((List *)executable)->first; op; op = op->next)
        if ((code = put(stream, op))) return leave(code);
    return leave(OK);
}
static int destroy_list(void *handle, char kind) {
    if (!is(handle, kind)) return INVALID_HANDLE;
    clear(handle);
    drop(handle);
    free(handle);
    return OK;
}
int cudaGraphDestroy(void *graph) { BEGIN; return leave(destroy_list(graph, 'g')); }
int cudaGraphExecDestroy(void *executable) { BEGIN; return leave(destroy_list(executable, 'x')); }
