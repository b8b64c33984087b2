/* What a gateway receives. A device's message to a row of a raw frame by columns: native readings
   that are plain (`telemetry/plain_rows.py`), of the boot of their connection. Any other message is
   left to the contract's decoder, which is never wrong. */

enum { ROW_BOOT, ROW_SEQ, ROW_RECEIVED, ROW_MEASURED, ROW_INTERVAL, ROW_ISLANDED, ROW_FLOATS };
#define ROW_WORDS (ROW_FLOATS + FLOATS) /* of 8 bytes: integers, then floats */
#define MAX_ID_BYTES 64

/* The text of one frame, unmasked; the whole of it has to be there, and be ASCII. */
static PyObject *text_of(const unsigned char *mask, Py_ssize_t size)
{
    PyObject *text = PyBytes_FromStringAndSize(NULL, size);
    if (!text) return NULL;
    unsigned char *to = (unsigned char *)PyBytes_AS_STRING(text), seen = 0;
    const unsigned char *from = mask + 4;
    for (Py_ssize_t i = 0; i < size; i++) seen |= to[i] = from[i] ^ mask[i & 3];
    if (seen < 0x80) return text;
    Py_DECREF(text);
    Py_RETURN_NONE;
}

/* only_text(read, most) -> the text, or None: as `gateway/framing.py` */
static PyObject *only_text(PyObject *self, PyObject *const *args, Py_ssize_t given)
{
    (void)self;
    int64_t most;
    if (!wants(given, 2)) return NULL;
    if (!PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "the read is not bytes");
        return NULL;
    }
    if (!whole(args[1], &most)) return NULL;
    const unsigned char *read = (const unsigned char *)PyBytes_AS_STRING(args[0]);
    Py_ssize_t size = PyBytes_GET_SIZE(args[0]);
    if (size < 8 || size > most || read[0] != 0x81 || read[1] < 0x80 || read[1] == 0xff)
        Py_RETURN_NONE;
    int is_long = read[1] == 0xfe, begin = is_long ? 8 : 6;
    Py_ssize_t length = is_long ? read[2] << 8 | read[3] : read[1] & 0x7f;
    if (begin + length != size) Py_RETURN_NONE;
    return text_of(read + begin - 4, length);
}

/* A native body with the reading's name: `b` has to be `boot`. */
static int take_payload(Text *t, Line *line, const char *boot, int64_t boot_size)
{
    const char *key, *text;
    int64_t size, text_size;
    if (!take(t, '{')) return 0;
    do {
        if (!take_string(t, &key, &size) || !take(t, ':')) return 0;
        if (is(key, size, "b")) {
            line->has_device = 1;
            if (!take_string(t, &text, &text_size) || text_size != boot_size ||
                memcmp(text, boot, (size_t)boot_size))
                return 0;
        } else if (is(key, size, "s")) {
            line->has_seq = 1;
            if (!take_int(t, MAX_SEQ, &line->ints[SEQ])) return 0;
        } else if (!take_body_value(t, key, size, line))
            return 0;
    } while (take(t, ','));
    return take(t, '}');
}

/* `[6, id, "Telemetry", payload]` */
static int take_reading(Text *t, Line *line, const char *boot, int64_t boot_size, const char **id,
                        int64_t *id_size)
{
    const char *action;
    int64_t size;
    return take(t, '[') && take(t, '6') && take(t, ',') && take_string(t, id, id_size) &&
           *id_size >= 1 && *id_size <= MAX_ID_BYTES && take(t, ',') &&
           take_string(t, &action, &size) && is(action, size, "Telemetry") && take(t, ',') &&
           take_payload(t, line, boot, boot_size) && take(t, ']') &&
           (skip_blanks(t), t->at == t->end);
}

/* read_message(message, boot, boot's number, received_at_ms) -> (id, seq, row), or None */
static PyObject *read_message(PyObject *self, PyObject *const *args, Py_ssize_t given)
{
    (void)self;
    int64_t boot_number, received;
    Py_ssize_t boot_size;
    if (!wants(given, 4)) return NULL;
    if (!PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "the message is not bytes");
        return NULL;
    }
    const char *boot = PyUnicode_AsUTF8AndSize(args[1], &boot_size);
    if (!boot || !whole(args[2], &boot_number) || !whole(args[3], &received)) return NULL;
    const char *at = PyBytes_AS_STRING(args[0]), *id;
    Text text = {at, at + PyBytes_GET_SIZE(args[0])};
    Line line = {.interval_ms = 1000, .islanded = -1, .has_received = 1, .has_body = 1};
    line.ints[RECEIVED] = received;
    for (int k = 0; k < FLOATS; k++) line.floats[k] = NAN;
    int64_t id_size;
    double error_w;
    if (received < 0 || received > MAX_TIME_MS ||
        !take_reading(&text, &line, boot, boot_size, &id, &id_size) || !is_possible(&line) ||
        !is_balanced(line.floats, &error_w))
        Py_RETURN_NONE;
    int64_t row[ROW_WORDS] = {boot_number,          line.ints[SEQ],   line.ints[RECEIVED],
                              line.ints[MEASURED],  line.interval_ms, line.islanded};
    memcpy(row + ROW_FLOATS, line.floats, sizeof line.floats);
    return Py_BuildValue("(s#Ly#)", id, (Py_ssize_t)id_size, (long long)line.ints[SEQ],
                         (const char *)row, (Py_ssize_t)sizeof row);
}
