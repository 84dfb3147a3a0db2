/* Records to Avro and back, compiled: what millpond/archive/encode.py and decode.py do, several times faster.

   The Python functions there are the definition and the fallback; the tests hold the two together byte for byte. The
   decoder here reads what archives hold. Where it meets anything else, damage or an encoding that Avro allows and
   nobody writes, it returns None and Python's decoder has the last word: so errors are the same with and without it.

   No memory is read outside of the bytes given: every step forward is checked against the end first (`take_*`). */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

#define LONGEST_LONG 10
#define SHORTEST_RECORD 5 /* offset, timestamp, no key, no value, no headers */
#define SHORTEST_HEADER 2 /* an empty name, no value */
#define SHARED_NAMES 16
#define SMALLEST_BUFFER (64 << 10)
#define LARGEST_KEPT (4 << 20)

enum method { OFFSET, TIMESTAMP, LEADER_EPOCH, KEY, VALUE, HEADERS, METHODS };
static const char *const METHOD_NAMES[METHODS] = {"offset", "timestamp", "leader_epoch", "key", "value", "headers"};

typedef struct {
    PyObject *methods[METHODS]; /* of confluent_kafka.Message, unbound; there once the first message was encoded */
    char *buffer; /* to encode into; not while somebody does */
    Py_ssize_t buffer_size;
} State;

/* -- writing */

typedef struct {
    char *start, *at, *end;
} Out;

/* The buffer of the call before is used again: fresh memory costs more than the encoding itself. It is taken out of
   the state meanwhile, because rows may come from Python code that encodes too. */
static void out_start(Out *out, State *state) {
    *out = (Out){state->buffer, state->buffer, state->buffer + state->buffer_size};
    state->buffer = NULL;
    state->buffer_size = 0;
}

static int out_grow(Out *out, Py_ssize_t more) {
    Py_ssize_t used = out->at - out->start, size = out->end - out->start;
    if (more > PY_SSIZE_T_MAX / 4 || size > PY_SSIZE_T_MAX / 4) {
        PyErr_NoMemory();
        return -1;
    }
    size = size * 2 > used + more ? size * 2 : used + more;
    size = size > SMALLEST_BUFFER ? size : SMALLEST_BUFFER;
    char *start = PyMem_Realloc(out->start, size);
    if (start == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    *out = (Out){start, start + used, start + size};
    return 0;
}

/* Makes room for that many bytes at `at`. */
static inline int out_room(Out *out, Py_ssize_t more) {
    return out->end - out->at >= more ? 0 : out_grow(out, more);
}

/* What was written, if all is `good`; the buffer goes back into the state. */
static PyObject *out_done(Out *out, State *state, int good) {
    PyObject *written = good ? PyBytes_FromStringAndSize(out->start, out->at - out->start) : NULL;
    if (state->buffer == NULL && out->end - out->start <= LARGEST_KEPT) {
        state->buffer = out->start;
        state->buffer_size = out->end - out->start;
    } else {
        PyMem_Free(out->start);
    }
    return written;
}

/* Zigzag, then seven bits a byte, lowest first; the caller has made room for LONGEST_LONG. */
static inline char *put_long(char *at, int64_t number) {
    uint64_t rest = ((uint64_t)number << 1) ^ (number < 0 ? UINT64_MAX : 0);
    while (rest > 0x7F) {
        *at++ = (char)(rest | 0x80);
        rest >>= 7;
    }
    *at++ = (char)rest;
    return at;
}

static inline int put_content(Out *out, const char *content, Py_ssize_t size) {
    if (size > PY_SSIZE_T_MAX / 4) {
        PyErr_NoMemory();
        return -1;
    }
    if (out_room(out, size + LONGEST_LONG) < 0)
        return -1;
    out->at = put_long(out->at, size);
    memcpy(out->at, content, size);
    out->at += size;
    return 0;
}

/* The union of null and bytes. */
static inline int put_field(Out *out, PyObject *content) {
    if (out_room(out, 1) < 0)
        return -1;
    if (content == Py_None) {
        *out->at++ = 0;
        return 0;
    }
    if (!PyBytes_Check(content)) {
        PyErr_Format(PyExc_TypeError, "a field is bytes or None, not %s", Py_TYPE(content)->tp_name);
        return -1;
    }
    *out->at++ = 2;
    return put_content(out, PyBytes_AS_STRING(content), PyBytes_GET_SIZE(content));
}

static int put_header(Out *out, PyObject *header) {
    if (!PyTuple_Check(header) || PyTuple_GET_SIZE(header) != 2) {
        PyErr_SetString(PyExc_TypeError, "a header is a tuple of name and value");
        return -1;
    }
    PyObject *name = PyTuple_GET_ITEM(header, 0);
    const char *text;
    Py_ssize_t size;
    if (PyBytes_Check(name)) {
        text = PyBytes_AS_STRING(name);
        size = PyBytes_GET_SIZE(name);
    } else if (PyUnicode_Check(name)) {
        text = PyUnicode_AsUTF8AndSize(name, &size);
        if (text == NULL)
            return -1;
    } else {
        PyErr_Format(PyExc_TypeError, "a header's name is bytes or text, not %s", Py_TYPE(name)->tp_name);
        return -1;
    }
    return put_content(out, text, size) < 0 ? -1 : put_field(out, PyTuple_GET_ITEM(header, 1));
}

/* One block of an array and the 0 behind it. No Python code runs in here, so the headers stay as they are. */
static int put_headers(Out *out, PyObject *headers) {
    Py_ssize_t count = 0;
    PyObject **items = NULL;
    if (PyTuple_Check(headers)) {
        count = PyTuple_GET_SIZE(headers);
        items = ((PyTupleObject *)headers)->ob_item;
    } else if (PyList_Check(headers)) {
        count = PyList_GET_SIZE(headers);
        items = ((PyListObject *)headers)->ob_item;
    } else if (headers != Py_None) {
        PyErr_Format(PyExc_TypeError, "headers are a list, a tuple or None, not %s", Py_TYPE(headers)->tp_name);
        return -1;
    }
    if (out_room(out, LONGEST_LONG) < 0)
        return -1;
    out->at = put_long(out->at, count);
    if (count == 0)
        return 0;
    for (Py_ssize_t i = 0; i < count; i++)
        if (put_header(out, items[i]) < 0)
            return -1;
    if (out_room(out, 1) < 0)
        return -1;
    *out->at++ = 0;
    return 0;
}

static inline int put_record(Out *out, int64_t offset, int64_t stamp, PyObject *key, PyObject *value,
                             PyObject *headers) {
    if (out_room(out, 2 * LONGEST_LONG) < 0)
        return -1;
    out->at = put_long(put_long(out->at, offset), stamp);
    if (put_field(out, key) < 0 || put_field(out, value) < 0)
        return -1;
    return put_headers(out, headers);
}

static inline int as_long(PyObject *number, int64_t *found) {
    if (!PyLong_Check(number)) {
        PyErr_Format(PyExc_TypeError, "offsets and timestamps are int, not %s", Py_TYPE(number)->tp_name);
        return -1;
    }
    *found = PyLong_AsLongLong(number);
    return *found == -1 && PyErr_Occurred() ? -1 : 0;
}

static int put_row(Out *out, PyObject *row) {
    int64_t offset, stamp;
    if (!PyTuple_Check(row)) {
        PyErr_Format(PyExc_TypeError, "a record is a tuple, not %s", Py_TYPE(row)->tp_name);
        return -1;
    }
    if (PyTuple_GET_SIZE(row) < 5) {
        PyErr_SetString(PyExc_IndexError, "a record has five fields");
        return -1;
    }
    if (as_long(PyTuple_GET_ITEM(row, 0), &offset) < 0 || as_long(PyTuple_GET_ITEM(row, 1), &stamp) < 0)
        return -1;
    return put_record(out, offset, stamp, PyTuple_GET_ITEM(row, 2), PyTuple_GET_ITEM(row, 3),
                      PyTuple_GET_ITEM(row, 4));
}

static int put_rows(Out *out, PyObject *iterator) {
    PyObject *row;
    while ((row = PyIter_Next(iterator)) != NULL) {
        int put = put_row(out, row);
        Py_DECREF(row);
        if (put < 0)
            return -1;
    }
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *encode_rows(PyObject *module, PyObject *rows) {
    State *state = PyModule_GetState(module);
    PyObject *iterator = PyObject_GetIter(rows);
    if (iterator == NULL)
        return NULL;
    Out out;
    out_start(&out, state);
    int good = put_rows(&out, iterator) == 0;
    Py_DECREF(iterator);
    return out_done(&out, state, good);
}

/* -- messages of a consumer */

/* Finds Message's methods once. Not when the module is loaded: it must load where there is no Kafka client. */
static int find_methods(State *state) {
    if (state->methods[0] != NULL)
        return 0;
    PyObject *found[METHODS] = {NULL};
    PyObject *client = PyImport_ImportModule("confluent_kafka");
    PyObject *message = client == NULL ? NULL : PyObject_GetAttrString(client, "Message");
    Py_XDECREF(client);
    int good = message != NULL;
    for (int i = 0; good && i < METHODS; i++)
        good = (found[i] = PyObject_GetAttrString(message, METHOD_NAMES[i])) != NULL;
    Py_XDECREF(message);
    for (int i = METHODS - 1; i >= 0; i--) {
        if (good && state->methods[i] == NULL)
            state->methods[i] = found[i];
        else
            Py_XDECREF(found[i]);
    }
    return good ? 0 : -1;
}

/* Type and milliseconds. */
static int stamp_of(State *state, PyObject *message, int64_t *kind, int64_t *stamp) {
    PyObject *both = PyObject_CallOneArg(state->methods[TIMESTAMP], message);
    if (both == NULL)
        return -1;
    int found = -1;
    if (!PyTuple_Check(both) || PyTuple_GET_SIZE(both) != 2)
        PyErr_SetString(PyExc_TypeError, "a message's timestamp is a tuple of type and milliseconds");
    else if (as_long(PyTuple_GET_ITEM(both, 0), kind) == 0)
        found = as_long(PyTuple_GET_ITEM(both, 1), stamp);
    Py_DECREF(both);
    return found;
}

static int offset_of(State *state, PyObject *message, int64_t *offset) {
    PyObject *number = PyObject_CallOneArg(state->methods[OFFSET], message);
    if (number == NULL)
        return -1;
    int found = as_long(number, offset);
    Py_DECREF(number);
    return found;
}

/* -1 where it is unknown. */
static int epoch_of(State *state, PyObject *message, int64_t *epoch) {
    PyObject *number = PyObject_CallOneArg(state->methods[LEADER_EPOCH], message);
    if (number == NULL)
        return -1;
    *epoch = -1;
    int found = number == Py_None ? 0 : as_long(number, epoch);
    Py_DECREF(number);
    return found;
}

static int put_message(State *state, Out *out, PyObject *message, int64_t offset, int64_t stamp) {
    int put = -1;
    PyObject *key = PyObject_CallOneArg(state->methods[KEY], message), *value = NULL, *headers = NULL;
    if (key != NULL && (value = PyObject_CallOneArg(state->methods[VALUE], message)) != NULL &&
        (headers = PyObject_CallOneArg(state->methods[HEADERS], message)) != NULL)
        put = put_record(out, offset, stamp, key, value, headers);
    Py_XDECREF(key);
    Py_XDECREF(value);
    Py_XDECREF(headers);
    return put;
}

/* The next of the numbers that a caller gave, one for each message. */
static int next_long(PyObject *numbers, int64_t *found) {
    PyObject *number = PyIter_Next(numbers);
    if (number == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "there are fewer offsets or timestamps than messages");
        return -1;
    }
    int good = as_long(number, found);
    Py_DECREF(number);
    return good;
}

static int at_end(PyObject *numbers) {
    PyObject *more = numbers == NULL ? NULL : PyIter_Next(numbers);
    if (more == NULL)
        return PyErr_Occurred() ? -1 : 0;
    Py_DECREF(more);
    PyErr_SetString(PyExc_ValueError, "there are more offsets or timestamps than messages");
    return -1;
}

static int put_messages(State *state, Out *out, PyObject *messages, PyObject *offsets, PyObject *stamps) {
    int64_t offset, stamp, kind;
    /* What is called in here could change the list. */
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(messages); i++) {
        PyObject *message = PySequence_Fast_GET_ITEM(messages, i);
        Py_INCREF(message);
        int good = offsets == NULL ? offset_of(state, message, &offset) : next_long(offsets, &offset);
        if (good == 0)
            good = stamps == NULL ? stamp_of(state, message, &kind, &stamp) : next_long(stamps, &stamp);
        if (good == 0)
            good = put_message(state, out, message, offset, stamp);
        Py_DECREF(message);
        if (good < 0)
            return -1;
    }
    return at_end(offsets) < 0 ? -1 : at_end(stamps);
}

static PyObject *encode_messages(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "encode_messages(messages, offsets, stamps)");
        return NULL;
    }
    State *state = PyModule_GetState(module);
    if (find_methods(state) < 0)
        return NULL;
    PyObject *offsets = NULL, *stamps = NULL, *encoded = NULL;
    PyObject *messages = PySequence_Fast(args[0], "messages are a sequence");
    if (messages != NULL && (args[1] == Py_None || (offsets = PyObject_GetIter(args[1])) != NULL) &&
        (args[2] == Py_None || (stamps = PyObject_GetIter(args[2])) != NULL)) {
        Out out;
        out_start(&out, state);
        int good = put_messages(state, &out, messages, offsets, stamps) == 0;
        encoded = out_done(&out, state, good);
    }
    Py_XDECREF(messages);
    Py_XDECREF(offsets);
    Py_XDECREF(stamps);
    return encoded;
}

typedef struct {
    int64_t count, first, last, epoch, kind, first_stamp, min_stamp, max_stamp;
} Run;

/* 1 where a message has another epoch or timestamp type than the first. */
static int put_run(State *state, Out *out, PyObject *messages, Run *run) {
    int64_t offset, stamp, kind, epoch;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(messages); i++) {
        PyObject *message = PySequence_Fast_GET_ITEM(messages, i);
        Py_INCREF(message);
        int put = -1;
        if (epoch_of(state, message, &epoch) == 0 && stamp_of(state, message, &kind, &stamp) == 0 &&
            offset_of(state, message, &offset) == 0) {
            if (i == 0)
                *run = (Run){0, offset, offset, epoch, kind, stamp, stamp, stamp};
            run->count++;
            run->last = offset;
            run->min_stamp = stamp < run->min_stamp ? stamp : run->min_stamp;
            run->max_stamp = stamp > run->max_stamp ? stamp : run->max_stamp;
            put = epoch != run->epoch || kind != run->kind ? 1 : put_message(state, out, message, offset, stamp);
        }
        Py_DECREF(message);
        if (put != 0)
            return put;
    }
    return 0;
}

static PyObject *encode_run(PyObject *module, PyObject *given) {
    State *state = PyModule_GetState(module);
    if (find_methods(state) < 0)
        return NULL;
    PyObject *messages = PySequence_Fast(given, "messages are a sequence");
    if (messages == NULL)
        return NULL;
    if (PySequence_Fast_GET_SIZE(messages) == 0) {
        Py_DECREF(messages);
        PyErr_SetString(PyExc_ValueError, "a run holds one message at least");
        return NULL;
    }
    Run run = {0};
    Out out;
    out_start(&out, state);
    int put = put_run(state, &out, messages, &run);
    Py_DECREF(messages);
    PyObject *encoded = out_done(&out, state, put == 0);
    if (put == 1)
        Py_RETURN_NONE;
    return encoded == NULL ? NULL
                           : Py_BuildValue("(LLLLLLLLN)", run.count, run.first, run.last, run.epoch, run.kind,
                                           run.first_stamp, run.min_stamp, run.max_stamp, encoded);
}

/* -- reading */

typedef struct {
    const unsigned char *at, *end;
} In;

typedef struct {
    const char *content; /* NULL for null */
    Py_ssize_t size;
} Field;

/* Whether there was a long. As in Python: ten bytes at most, of which the last holds a single bit. */
static inline int take_long(In *in, int64_t *found) {
    uint64_t number = 0;
    for (int shift = 0; in->at < in->end; shift += 7) {
        unsigned char byte = *in->at++;
        if (shift == 63 && byte > 1)
            return 0;
        number |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *found = (int64_t)(number >> 1) ^ -(int64_t)(number & 1);
            return 1;
        }
    }
    return 0;
}

static inline int take_content(In *in, Field *found) {
    int64_t size;
    if (!take_long(in, &size) || size < 0 || size > in->end - in->at)
        return 0;
    *found = (Field){(const char *)in->at, (Py_ssize_t)size};
    in->at += size;
    return 1;
}

static inline int take_field(In *in, Field *found) {
    int64_t branch;
    if (!take_long(in, &branch))
        return 0;
    if (branch == 0) {
        *found = (Field){NULL, 0};
        return 1;
    }
    return branch == 1 && take_content(in, found);
}

/* The number of headers, if as many fit into what is left; a block of an array that states its size is not read here. */
static inline int take_header_count(In *in, int64_t *count) {
    return take_long(in, count) && *count >= 0 && *count <= (in->end - in->at) / SHORTEST_HEADER;
}

static inline int take_headers_end(In *in) {
    int64_t more;
    return take_long(in, &more) && more == 0;
}

static inline PyObject *field_object(Field field) {
    return field.content == NULL ? Py_NewRef(Py_None) : PyBytes_FromStringAndSize(field.content, field.size);
}

/* Records of one topic have the same headers: the names of the record before are used again. */
typedef struct {
    PyObject *names[SHARED_NAMES];
} Names;

static PyObject *name_object(Names *names, int64_t place, Field name) {
    if (place >= SHARED_NAMES)
        return field_object(name);
    PyObject *known = names->names[place];
    if (known != NULL && PyBytes_GET_SIZE(known) == name.size &&
        memcmp(PyBytes_AS_STRING(known), name.content, name.size) == 0)
        return Py_NewRef(known);
    PyObject *made = field_object(name);
    if (made != NULL)
        Py_XSETREF(names->names[place], Py_NewRef(made));
    return made;
}

/* A tuple that owns what it is given, also where it cannot be made. Tuples of what holds no other object are no matter
   for the garbage collector, which would find that out one by one. */
static PyObject *pair_object(PyObject *first, PyObject *second) {
    PyObject *pair = first == NULL || second == NULL ? NULL : PyTuple_New(2);
    if (pair == NULL) {
        Py_XDECREF(first);
        Py_XDECREF(second);
        return NULL;
    }
    PyTuple_SET_ITEM(pair, 0, first);
    PyTuple_SET_ITEM(pair, 1, second);
    PyObject_GC_UnTrack(pair);
    return pair;
}

/* The next three: 1 for done, 0 for bytes that Python's decoder must judge, -1 for a Python error. */

static int take_headers(In *in, Names *names, PyObject **found) {
    int64_t count;
    if (!take_header_count(in, &count))
        return 0;
    PyObject *headers = *found = PyTuple_New((Py_ssize_t)count);
    if (headers == NULL)
        return -1;
    if (count == 0)
        return 1;
    for (int64_t i = 0; i < count; i++) {
        Field name, content;
        if (!take_content(in, &name) || !take_field(in, &content))
            return 0;
        PyObject *header = pair_object(name_object(names, i, name), field_object(content));
        if (header == NULL)
            return -1;
        PyTuple_SET_ITEM(headers, i, header);
    }
    PyObject_GC_UnTrack(headers);
    return take_headers_end(in);
}

static int take_row(In *in, Names *names, PyObject **found) {
    int64_t offset, stamp;
    Field key, value;
    PyObject *headers = NULL;
    if (!take_long(in, &offset) || !take_long(in, &stamp) || !take_field(in, &key) || !take_field(in, &value))
        return 0;
    int taken = take_headers(in, names, &headers);
    PyObject *row = taken == 1 ? PyTuple_New(5) : NULL;
    if (row == NULL) {
        Py_XDECREF(headers);
        return taken == 1 ? -1 : taken;
    }
    *found = row;
    PyTuple_SET_ITEM(row, 4, headers);
    PyTuple_SET_ITEM(row, 0, PyLong_FromLongLong(offset));
    PyTuple_SET_ITEM(row, 1, PyLong_FromLongLong(stamp));
    PyTuple_SET_ITEM(row, 2, field_object(key));
    PyTuple_SET_ITEM(row, 3, field_object(value));
    for (int i = 0; i < 4; i++)
        if (PyTuple_GET_ITEM(row, i) == NULL)
            return -1;
    PyObject_GC_UnTrack(row);
    return 1;
}

static int take_rows(In *in, PyObject *rows) {
    Names names = {{NULL}};
    int taken = 1;
    for (Py_ssize_t i = 0; taken == 1 && i < PyList_GET_SIZE(rows); i++) {
        PyObject *row = NULL;
        taken = take_row(in, &names, &row);
        PyList_SET_ITEM(rows, i, row);
    }
    for (int i = 0; i < SHARED_NAMES; i++)
        Py_XDECREF(names.names[i]);
    return taken;
}

static int skip_headers(In *in) {
    int64_t count;
    Field ignored;
    if (!take_header_count(in, &count))
        return 0;
    if (count == 0)
        return 1;
    while (count--)
        if (!take_content(in, &ignored) || !take_field(in, &ignored))
            return 0;
    return take_headers_end(in);
}

/* All keys, or all values. */
static int take_column(In *in, PyObject *column, int values) {
    int64_t ignored;
    Field fields[2];
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(column); i++) {
        if (!take_long(in, &ignored) || !take_long(in, &ignored) || !take_field(in, &fields[0]) ||
            !take_field(in, &fields[1]) || !skip_headers(in))
            return 0;
        PyObject *found = field_object(fields[values]);
        if (found == NULL)
            return -1;
        PyList_SET_ITEM(column, i, found);
    }
    return 1;
}

enum what { ROWS, KEYS, VALUES };

static PyObject *decode(PyObject *const *args, Py_ssize_t given, enum what what) {
    if (given != 2 || !PyLong_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "the bytes of a block and the number of its records are needed");
        return NULL;
    }
    int overflow;
    long long count = PyLong_AsLongLongAndOverflow(args[1], &overflow);
    if (!PyBytes_Check(args[0]) || overflow || count < 0 || count > PyBytes_GET_SIZE(args[0]) / SHORTEST_RECORD)
        Py_RETURN_NONE;
    const unsigned char *start = (const unsigned char *)PyBytes_AS_STRING(args[0]);
    In in = {start, start + PyBytes_GET_SIZE(args[0])};
    PyObject *found = PyList_New((Py_ssize_t)count);
    if (found == NULL)
        return NULL;
    int taken = what == ROWS ? take_rows(&in, found) : take_column(&in, found, what == VALUES);
    if (taken == 1 && in.at == in.end)
        return found;
    Py_DECREF(found);
    if (taken < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *decode_block(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    return decode(args, count, ROWS);
}

static PyObject *decode_keys(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    return decode(args, count, KEYS);
}

static PyObject *decode_values(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    return decode(args, count, VALUES);
}

/* -- producing */

/* Names as text, by their bytes: the decoder gives the same bytes again and again. What is held lives meanwhile, so that
   no other object has its address. */
typedef struct {
    PyObject *names[SHARED_NAMES], *texts[SHARED_NAMES];
} Texts;

static PyObject *text_of(Texts *known, Py_ssize_t place, PyObject *name) {
    if (place < SHARED_NAMES && known->names[place] == name)
        return Py_NewRef(known->texts[place]);
    PyObject *text = PyUnicode_DecodeUTF8(PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name), NULL);
    if (text != NULL && place < SHARED_NAMES) {
        Py_XSETREF(known->names[place], Py_NewRef(name));
        Py_XSETREF(known->texts[place], Py_NewRef(text));
    }
    return text;
}

static void forget_texts(Texts *known) {
    for (int i = 0; i < SHARED_NAMES; i++) {
        Py_XDECREF(known->names[i]);
        Py_XDECREF(known->texts[i]);
    }
}

/* Headers as the Kafka client takes them: a list of pairs, names as text. */
static PyObject *texts_of(Texts *known, PyObject *headers) {
    if (!PyTuple_Check(headers)) {
        PyErr_SetString(PyExc_TypeError, "the headers of a record are a tuple");
        return NULL;
    }
    PyObject *texts = PyList_New(PyTuple_GET_SIZE(headers));
    for (Py_ssize_t i = 0; texts != NULL && i < PyTuple_GET_SIZE(headers); i++) {
        PyObject *header = PyTuple_GET_ITEM(headers, i), *pair = NULL;
        if (!PyTuple_Check(header) || PyTuple_GET_SIZE(header) != 2 || !PyBytes_Check(PyTuple_GET_ITEM(header, 0))) {
            PyErr_SetString(PyExc_TypeError, "a header is a tuple of name and value");
        } else {
            PyObject *name = text_of(known, i, PyTuple_GET_ITEM(header, 0));
            pair = pair_object(name, Py_NewRef(PyTuple_GET_ITEM(header, 1)));
        }
        if (pair == NULL)
            Py_CLEAR(texts);
        else
            PyList_SET_ITEM(texts, i, pair);
    }
    return texts;
}

static int produce_row(Texts *known, PyObject *produce, PyObject *topic, PyObject *partition, PyObject *row) {
    if (!PyTuple_Check(row) || PyTuple_GET_SIZE(row) != 5) {
        PyErr_SetString(PyExc_TypeError, "a record is a tuple of five fields");
        return -1;
    }
    PyObject *headers = PyTuple_GET_ITEM(row, 4);
    int some = !PyTuple_Check(headers) || PyTuple_GET_SIZE(headers) > 0;
    PyObject *texts = some ? texts_of(known, headers) : Py_NewRef(Py_None);
    if (texts == NULL)
        return -1;
    PyObject *args[] = {topic,   PyTuple_GET_ITEM(row, 3), PyTuple_GET_ITEM(row, 2), partition, Py_None,
                        Py_None, PyTuple_GET_ITEM(row, 1), texts};
    PyObject *nothing = PyObject_Vectorcall(produce, args, 8, NULL);
    Py_DECREF(texts);
    Py_XDECREF(nothing);
    return nothing == NULL ? -1 : 0;
}

static PyObject *produce_rows(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (count != 5 || !PyList_Check(args[3])) {
        PyErr_SetString(PyExc_TypeError, "produce_rows(produce, topic, partition, rows: list, start)");
        return NULL;
    }
    Py_ssize_t at = PyLong_AsSsize_t(args[4]);
    if (at == -1 && PyErr_Occurred())
        return NULL;
    if (at < 0) {
        PyErr_SetString(PyExc_ValueError, "the first record to produce has no negative number");
        return NULL;
    }
    Texts known = {{NULL}, {NULL}};
    int produced = 0;
    /* `produce` could change the list. */
    for (; produced == 0 && at < PyList_GET_SIZE(args[3]); at++) {
        PyObject *row = Py_NewRef(PyList_GET_ITEM(args[3], at));
        produced = produce_row(&known, args[0], args[1], args[2], row);
        Py_DECREF(row);
    }
    forget_texts(&known);
    if (produced < 0 && !PyErr_ExceptionMatches(PyExc_BufferError))
        return NULL;
    if (produced < 0)
        PyErr_Clear();
    return PyLong_FromSsize_t(produced < 0 ? at - 1 : at);
}

/* -- the module; what each function means stands in millpond/archive/_codec.pyi */

static PyMethodDef FUNCTIONS[] = {
    {"encode_rows", encode_rows, METH_O, NULL},
    {"encode_messages", (PyCFunction)(void (*)(void))encode_messages, METH_FASTCALL, NULL},
    {"encode_run", encode_run, METH_O, NULL},
    {"decode_block", (PyCFunction)(void (*)(void))decode_block, METH_FASTCALL, NULL},
    {"decode_keys", (PyCFunction)(void (*)(void))decode_keys, METH_FASTCALL, NULL},
    {"decode_values", (PyCFunction)(void (*)(void))decode_values, METH_FASTCALL, NULL},
    {"produce_rows", (PyCFunction)(void (*)(void))produce_rows, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static int traverse(PyObject *module, visitproc visit, void *arg) {
    State *state = PyModule_GetState(module);
    for (int i = 0; i < METHODS; i++)
        Py_VISIT(state->methods[i]);
    return 0;
}

static int clear(PyObject *module) {
    State *state = PyModule_GetState(module);
    for (int i = 0; i < METHODS; i++)
        Py_CLEAR(state->methods[i]);
    return 0;
}

static void destroy(void *module) {
    State *state = PyModule_GetState(module);
    clear(module);
    PyMem_Free(state->buffer);
}

static struct PyModuleDef MODULE = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_codec",
    .m_size = sizeof(State),
    .m_methods = FUNCTIONS,
    .m_slots = (PyModuleDef_Slot[]){{0, NULL}},
    .m_traverse = traverse,
    .m_clear = clear,
    .m_free = destroy,
};

PyMODINIT_FUNC PyInit__codec(void) { return PyModuleDef_Init(&MODULE); }
