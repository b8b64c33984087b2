/* NDJSON lines to columns: those that are plain (`telemetry/plain_rows.py`). Whatever is unusual
   in a line (an escape, a key it does not know whose value is not a plain one, an integer written
   as a float) makes it not plain here, which is never wrong: the caller reads it in another way. */

#define EARLIEST_MS 946684800000LL
#define MAX_TIME_MS 253402300799000LL
#define MAX_AHEAD_MS 600000LL
#define MAX_FUTURE_MS 3600000LL
#define MAX_INTERVAL_MS 86400000LL
#define MAX_LINE_BYTES 65536
#define MAX_DIGITS 18
#define EXACT (1LL << 53)
#define MAX_SEQ (1LL << 62)

enum { BATTERY, GRID, SOLAR, LOAD, SOC, HZ, VOLT, TEMPERATURE, FLOATS };
enum { SEQ, RECEIVED, MEASURED, DEVICE, SITE, INTS };

static const double LOW[FLOATS] = {-1e9, -1e9, 0, 0, 0, 30, 20, -60};
static const double HIGH[FLOATS] = {1e9, 1e9, 1e9, 1e9, 1, 80, 50000, 150};
static const double TENS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                              1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                              1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

typedef struct {
    const char *at, *end;
} Text;

typedef struct {
    const char *device;
    int64_t device_size, ints[INTS], interval_ms;
    double floats[FLOATS];
    uint32_t boot;
    int8_t islanded;
    int has_device, has_received, has_seq, has_body, has_time;
} Line;

static void skip_blanks(Text *t)
{
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\t' || *t->at == '\r')) t->at++;
}

static int take(Text *t, char wanted)
{
    skip_blanks(t);
    if (t->at >= t->end || *t->at != wanted) return 0;
    t->at++;
    return 1;
}

static int take_word(Text *t, const char *word, int size)
{
    if (t->end - t->at < size || memcmp(t->at, word, (size_t)size)) return 0;
    t->at += size;
    return 1;
}

/* A string without escapes, of printable ASCII. */
static int take_string(Text *t, const char **text, int64_t *size)
{
    if (!take(t, '"')) return 0;
    *text = t->at;
    while (t->at < t->end && *t->at != '"') {
        if (*t->at < 0x20 || *t->at > 0x7e || *t->at == '\\') return 0;
        t->at++;
    }
    if (t->at >= t->end) return 0;
    *size = t->at++ - *text;
    return 1;
}

static int is_digit(const Text *t) { return t->at < t->end && *t->at >= '0' && *t->at <= '9'; }

/* An integer from 0 to `most`. Each occurrence of a key has to be possible, though the last counts:
   the contract's decoder checks them all. */
static int take_int(Text *t, int64_t most, int64_t *into)
{
    skip_blanks(t);
    const char *start = t->at;
    int64_t value = 0;
    while (is_digit(t)) {
        if (t->at - start == MAX_DIGITS) return 0;
        value = value * 10 + (*t->at++ - '0');
    }
    int64_t digits = t->at - start;
    if (!digits || (*start == '0' && digits > 1)) return 0;
    if (t->at < t->end && (*t->at == '.' || *t->at == 'e' || *t->at == 'E')) return 0;
    *into = value;
    return value <= most;
}

/* Correctly rounded: short numbers by one exact division, the others by Python. */
static int take_float(Text *t, double *into)
{
    skip_blanks(t);
    const char *start = t->at;
    int negative = t->at < t->end && *t->at == '-';
    t->at += negative;
    const char *first = t->at;
    int64_t digits = 0;
    int places = 0, kept = 0;
    for (; is_digit(t); t->at++)
        if (kept < MAX_DIGITS) digits = digits * 10 + (*t->at - '0'), kept++;
        else kept = MAX_DIGITS + 1;
    if (t->at == first || (*first == '0' && t->at - first > 1)) return 0;
    int simple = kept <= MAX_DIGITS, is_int = 1;
    if (t->at < t->end && *t->at == '.') {
        is_int = 0;
        t->at++;
        const char *point = t->at;
        for (; is_digit(t); t->at++) {
            if (kept < MAX_DIGITS) digits = digits * 10 + (*t->at - '0'), kept++, places++;
            else simple = 0;
        }
        if (t->at == point) return 0;
    }
    if (t->at < t->end && (*t->at == 'e' || *t->at == 'E')) {
        simple = 0;
        t->at++;
        if (t->at < t->end && (*t->at == '+' || *t->at == '-')) t->at++;
        if (!is_digit(t)) return 0;
        while (is_digit(t)) t->at++;
    }
    if (simple && digits <= EXACT) {
        double value = (double)digits / TENS[places];
        *into = negative && !(is_int && !digits) ? -value : value; /* -0 is an integer, and 0 */
        return 1;
    }
    char *end; /* the frame ends with a NUL, and this number before that */
    *into = PyOS_string_to_double(start, &end, NULL);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return end == t->at && isfinite(*into);
}

/* The value of a key that is not known: a plain one, which is skipped. */
static int skip_value(Text *t)
{
    const char *text;
    int64_t size;
    double number;
    skip_blanks(t);
    if (t->at >= t->end) return 0;
    switch (*t->at) {
    case '"': return take_string(t, &text, &size);
    case 't': return take_word(t, "true", 4);
    case 'f': return take_word(t, "false", 5);
    case 'n': return take_word(t, "null", 4);
    default: return take_float(t, &number);
    }
}

static int is(const char *key, int64_t size, const char *name)
{
    return (size_t)size == strlen(name) && !memcmp(key, name, (size_t)size);
}

static int measured_by(const char *key, int64_t size)
{
    switch (size) {
    case 1: return *key == 'p' ? BATTERY : *key == 'g' ? GRID : *key == 'l' ? LOAD
                 : *key == 'v' ? VOLT : FLOATS;
    case 2: return is(key, 2, "pv") ? SOLAR : is(key, 2, "hz") ? HZ
                 : is(key, 2, "tc") ? TEMPERATURE : FLOATS;
    case 3: return is(key, 3, "soc") ? SOC : FLOATS;
    default: return FLOATS;
    }
}

static int take_body_value(Text *t, const char *key, int64_t size, Line *line)
{
    int which = measured_by(key, size);
    skip_blanks(t);
    int nothing = t->at < t->end && *t->at == 'n';
    if (nothing && !take_word(t, "null", 4)) return 0;
    if (which < FLOATS) {
        line->floats[which] = NAN;
        return nothing || take_float(t, &line->floats[which]);
    }
    if (is(key, size, "t")) {
        line->has_time = !nothing;
        return nothing || take_int(t, MAX_TIME_MS, &line->ints[MEASURED]);
    }
    if (is(key, size, "isl")) {
        line->islanded = -1;
        if (nothing) return 1;
        line->islanded = t->at < t->end && *t->at == 't';
        return line->islanded ? take_word(t, "true", 4) : take_word(t, "false", 5);
    }
    if (is(key, size, "iv"))
        return !nothing && take_int(t, MAX_INTERVAL_MS, &line->interval_ms) &&
               line->interval_ms > 0;
    if (is(key, size, "vendor")) return 0;
    return nothing || skip_value(t);
}

static int take_boot(Text *t, uint32_t *boot)
{
    const char *text;
    int64_t size;
    if (!take_string(t, &text, &size) || size < 1 || size > 8) return 0;
    *boot = 0;
    for (int64_t i = 0; i < size; i++) {
        char c = text[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
                  : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0) return 0;
        *boot = *boot << 4 | (uint32_t)digit;
    }
    return 1;
}

static int take_object(Text *t, Line *line, int is_body);

static int take_line_value(Text *t, const char *key, int64_t size, Line *line)
{
    if (is(key, size, "device_id")) {
        line->has_device = 1;
        return take_string(t, &line->device, &line->device_size) && line->device_size > 0 &&
               line->device_size <= 128;
    }
    if (is(key, size, "received_at_ms")) {
        line->has_received = 1;
        return take_int(t, MAX_TIME_MS, &line->ints[RECEIVED]);
    }
    if (is(key, size, "seq")) {
        line->has_seq = 1;
        return take_int(t, INT64_MAX, &line->ints[SEQ]);
    }
    if (is(key, size, "boot")) return take_boot(t, &line->boot);
    if (is(key, size, "body")) {
        for (int i = 0; i < FLOATS; i++) line->floats[i] = NAN;
        line->interval_ms = 1000;
        line->islanded = -1;
        line->has_time = 0;
        line->has_body = 1;
        return take_object(t, line, 1);
    }
    return skip_value(t);
}

static int take_object(Text *t, Line *line, int is_body)
{
    const char *key;
    int64_t size;
    if (!take(t, '{')) return 0;
    if (take(t, '}')) return 1;
    do {
        if (!take_string(t, &key, &size) || !take(t, ':')) return 0;
        if (!(is_body ? take_body_value : take_line_value)(t, key, size, line)) return 0;
    } while (take(t, ','));
    return take(t, '}');
}

static int is_possible(const Line *line)
{
    int64_t measured = line->ints[MEASURED], received = line->ints[RECEIVED];
    if (!line->has_device || !line->has_received || !line->has_seq || !line->has_body ||
        !line->has_time)
        return 0;
    if (measured < EARLIEST_MS || measured - received > MAX_AHEAD_MS) return 0;
    for (int i = 0; i < FLOATS; i++)
        if (line->floats[i] < LOW[i] || line->floats[i] > HIGH[i]) return 0;
    return 1;
}

/* Whether nothing has to be computed and the powers balance; `error_w` is their error. */
static int is_balanced(const double *w, double *error_w)
{
    double largest = 0;
    for (int i = BATTERY; i <= LOAD; i++)
        if (fabs(w[i]) > largest) largest = fabs(w[i]);
    *error_w = w[LOAD] - (w[GRID] + w[BATTERY] + w[SOLAR]);
    int source = !isnan(w[BATTERY]) || !isnan(w[GRID]) || !isnan(w[SOLAR]);
    if (isnan(w[LOAD]) && (source || isnan(w[SOC]))) return 0;
    double most = 0.05 * largest;
    return !(fabs(*error_w) > (most > 50.0 ? most : 50.0));
}

/* Whether the registry makes the reading possible, as `registry/belief.py` has it. */
static int is_believed(const Line *line, const double *bounds, int64_t devices)
{
    static const int POWER[] = {BATTERY, BATTERY, GRID, GRID, SOLAR, LOAD};
    for (int i = 0; i < 6; i++) {
        double bound = bounds[i * devices + line->ints[DEVICE]];
        double share = line->floats[POWER[i]] / (i == 1 || i == 3 ? -bound : bound);
        if (share > 1.0) return 0;
    }
    return line->ints[MEASURED] + line->interval_ms <= line->ints[RECEIVED] + MAX_FUTURE_MS;
}

/* count_lines(frame): line feeds and one. */
static PyObject *count_lines(PyObject *self, PyObject *const *args, Py_ssize_t given)
{
    (void)self;
    Held held = {.held = 0};
    PyObject *result = NULL;
    const char *text = wants(given, 1) ? items(&held, args[0], 0, 1, 0) : NULL;
    if (text) {
        int64_t size = length(&held, 1), count = 1;
        for (int64_t i = 0; i < size; i++) count += text[i] == '\n';
        result = PyLong_FromLongLong(count);
    }
    give_back(&held);
    return result;
}

/* read_lines(frame, words, width, slots, shift, factors, site_of_device, bounds,
              ints, floats, boot, interval_ms, islanded, plain) -> (plain lines, believed ones)

   The columns have a place for each line: ints (5, n) as in the enum, floats (9, n) with the
   error of the balance at last. Of a line that is not plain they mean nothing, but its device and
   site are UNKNOWN. */
static PyObject *read_lines(PyObject *self, PyObject *const *args, Py_ssize_t given)
{
    (void)self;
    Held held = {.held = 0};
    Names names;
    PyObject *result = NULL;
    if (!wants(given, 14)) goto done;
    if (!PyBytes_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "the frame is not bytes");
        goto done;
    }
    const char *at = PyBytes_AS_STRING(args[0]), *end = at + PyBytes_GET_SIZE(args[0]);
    if (!names_of(&held, args + 1, &names)) goto done;
    const int64_t *site_of = items(&held, args[6], 1, 8, 0);
    if (!site_of) goto done;
    int64_t devices = length(&held, 8);
    const double *bounds = items(&held, args[7], 6 * devices, 8, 0);
    uint8_t *plain = bounds ? items(&held, args[13], 0, 1, 1) : NULL;
    if (!plain) goto done;
    int64_t n = length(&held, 1);
    int64_t *ints = items(&held, args[8], INTS * n, 8, 1);
    double *floats = ints ? items(&held, args[9], (FLOATS + 1) * n, 8, 1) : NULL;
    uint32_t *boot = floats ? items(&held, args[10], n, 4, 1) : NULL;
    int32_t *interval = boot ? items(&held, args[11], n, 4, 1) : NULL;
    int8_t *islanded = interval ? items(&held, args[12], n, 1, 1) : NULL;
    if (!islanded) goto done;
    int64_t plain_lines = 0, believed = 0;
    for (int64_t i = 0; i < n; i++) {
        const char *newline = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        Text text = {at, newline ? newline : end};
        Line line = {.interval_ms = 1000, .islanded = -1};
        double error_w = NAN;
        int64_t device = UNKNOWN;
        int readable = text.end - at <= MAX_LINE_BYTES && take_object(&text, &line, 0);
        skip_blanks(&text);
        readable = readable && text.at == text.end && is_possible(&line) &&
                   is_balanced(line.floats, &error_w);
        if (readable) device = number_of(&names, line.device, line.device_size);
        if (device < 0 || device >= devices || site_of[device] < 0) device = UNKNOWN;
        line.ints[DEVICE] = device;
        line.ints[SITE] = device < 0 ? UNKNOWN : site_of[device];
        for (int k = 0; k < INTS; k++) ints[k * n + i] = line.ints[k];
        for (int k = 0; k < FLOATS; k++) floats[k * n + i] = line.floats[k];
        floats[FLOATS * n + i] = error_w;
        boot[i] = line.boot;
        interval[i] = (int32_t)line.interval_ms;
        islanded[i] = line.islanded;
        plain[i] = device >= 0;
        plain_lines += plain[i];
        believed += plain[i] && is_believed(&line, bounds, devices);
        at = newline ? newline + 1 : end;
    }
    result = Py_BuildValue("(LL)", (long long)plain_lines, (long long)believed);
done:
    give_back(&held);
    return result;
}

/* check_rows(offsets, data, first, words, width, slots, shift, factors, site_of_device, bounds,
              seq, received_at_ms, measured_at_ms, interval_ms, islanded, 8 floats,
              device, site, error_w, plain) -> (plain rows, believed ones): of a frame by columns. */
static PyObject *check_rows(PyObject *self, PyObject *const *args, Py_ssize_t given)
{
    (void)self;
    Held held = {.held = 0};
    Names names;
    PyObject *result = NULL;
    const double *floats[FLOATS];
    int64_t first;
    if (!wants(given, 15 + FLOATS + 4)) goto done;
    PyObject *const *made = args + 15 + FLOATS;
    uint8_t *plain = items(&held, made[3], 0, 1, 1);
    if (!plain) goto done;
    int64_t n = length(&held, 1);
    if (!whole(args[2], &first)) goto done;
    if (first < 0) {
        PyErr_SetString(PyExc_ValueError, "the first name is before the buffer");
        goto done;
    }
    const int32_t *ends = items(&held, args[0], first + n + 1, 4, 0);
    const char *data = ends ? items(&held, args[1], ends[first + n], 1, 0) : NULL;
    if (!data || !names_of(&held, args + 3, &names)) goto done;
    const int64_t *site_of = items(&held, args[8], 1, 8, 0);
    if (!site_of) goto done;
    int64_t devices = length(&held, 8);
    const double *bounds = items(&held, args[9], 6 * devices, 8, 0);
    const int64_t *seq = bounds ? items(&held, args[10], n, 8, 0) : NULL;
    const int64_t *received = seq ? items(&held, args[11], n, 8, 0) : NULL;
    const int64_t *measured = received ? items(&held, args[12], n, 8, 0) : NULL;
    const int32_t *interval = measured ? items(&held, args[13], n, 4, 0) : NULL;
    const int8_t *islanded = interval ? items(&held, args[14], n, 1, 0) : NULL;
    if (!islanded) goto done;
    for (int k = 0; k < FLOATS; k++)
        if (!(floats[k] = items(&held, args[15 + k], n, 8, 0))) goto done;
    int64_t *device = items(&held, made[0], n, 8, 1);
    int64_t *site = device ? items(&held, made[1], n, 8, 1) : NULL;
    double *error_w = site ? items(&held, made[2], n, 8, 1) : NULL;
    if (!error_w) goto done;
    int64_t plain_rows = 0, believed = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t start = ends[first + i], size = ends[first + i + 1] - start;
        if (start < 0 || size < 0 || start + size > ends[first + n]) {
            PyErr_SetString(PyExc_ValueError, "the names' offsets do not rise");
            goto done;
        }
        Line line = {.ints = {seq[i], received[i], measured[i], UNKNOWN, UNKNOWN},
                     .interval_ms = interval[i], .has_device = 1, .has_received = 1,
                     .has_seq = 1, .has_body = 1, .has_time = 1};
        for (int k = 0; k < FLOATS; k++) line.floats[k] = floats[k][i];
        int balanced = is_balanced(line.floats, &error_w[i]);
        int64_t at = number_of(&names, data + start, size);
        if (at >= devices || (at >= 0 && site_of[at] < 0)) at = UNKNOWN;
        line.ints[DEVICE] = device[i] = at;
        site[i] = at < 0 ? UNKNOWN : site_of[at];
        plain[i] = at >= 0 && balanced && seq[i] >= 0 && seq[i] <= MAX_SEQ && received[i] >= 0 &&
                   received[i] <= MAX_TIME_MS && measured[i] >= 0 && measured[i] <= MAX_TIME_MS &&
                   interval[i] > 0 && interval[i] <= MAX_INTERVAL_MS && islanded[i] >= -1 &&
                   islanded[i] <= 1 && is_possible(&line);
        plain_rows += plain[i];
        believed += plain[i] && is_believed(&line, bounds, devices);
    }
    result = Py_BuildValue("(LL)", (long long)plain_rows, (long long)believed);
done:
    give_back(&held);
    return result;
}
