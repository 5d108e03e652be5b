/* Loading all languages: the operator's folder first, file for file. What a language's `words` must
 * have is a table. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "template-internal.h"
#include "text.h"

enum {
        FILE_SIZE_MAX = 16384,
};

static const struct {
        const char *key;
        bool plural;      /* has two forms */
        int words;        /* how many words a list has, 0: it is no list */
        const char *hole; /* the {name} that must be in it, or NULL */
} words_required[] = {
        { "kind-hotel", false, 0, NULL },
        { "kind-home-limited", false, 0, NULL },
        { "kind-home", false, 0, NULL },
        { "kind-car-unlock", false, 0, NULL },
        { "kind-car", false, 0, NULL },
        { "kind-access", false, 0, NULL },
        { "kind-fleet", false, 0, NULL },
        { "code-D9", false, 0, NULL },
        { "code-X8", false, 0, NULL },
        { "fact-booking", false, 0, NULL },
        { "fact-surname", false, 0, NULL },
        { "fact-plate", false, 0, NULL },
        { "fact-employee", false, 0, NULL },
        { "fact-other", false, 0, NULL },
        { "answer-yes", false, 0, NULL },
        { "answer-ready", false, 0, NULL },
        { "answer-no", false, 0, NULL },
        { "answer-not-me", false, 0, NULL },
        { "minutes", true, 0, "{n}" },
        { "hours", true, 0, "{n}" },
        { "days", true, 0, "{n}" },
        { "tries", true, 0, "{n}" },
        { "left-duration", false, 0, "{left}" },
        { "left-moment", false, 0, "{moment}" },
        { "moment", false, 0, "{time}" },
        { "weekdays", false, 7, NULL },
        { "months", false, 12, NULL },
};

const char *template_installed_directory(void) {
        const char *directory = getenv("VESTIBULE_TEMPLATES");

        return directory ? directory : VESTIBULE_TEMPLATES;
}

int template_problems_open(TemplateProblems *p) {
        *p = (TemplateProblems){ 0 };
        p->file = open_memstream(&p->text, &p->size);
        return p->file ? 0 : -ENOMEM;
}

void template_problems_done(TemplateProblems *p) {
        if (p->file)
                (void) fclose(p->file);
        free(p->text);
        *p = (TemplateProblems){ 0 };
}

char *template_problems_take(TemplateProblems *p) {
        if (fclose(TAKE_PTR(p->file)) != 0)
                return NULL;
        return TAKE_PTR(p->text);
}

void template_problem(
                TemplateProblems *p, const char *path, unsigned line, const char *format, ...) {
        va_list arguments;

        p->any = true;
        if (path)
                (void) fprintf(p->file, "%s:%u: ", path, line);
        else
                (void) fprintf(p->file, "%u: ", line);
        va_start(arguments, format);
        (void) vfprintf(p->file, format, arguments);
        va_end(arguments);
        (void) fputc('\n', p->file);
}

TemplateSet *template_set_free(TemplateSet *set) {
        if (!set)
                return NULL;
        for (size_t i = 0; i < set->n_locales; i++) {
                TemplateLocale *locale = &set->locales[i];

                for (size_t m = 0; m < _TEMPLATE_MESSAGE_MAX; m++) {
                        (void) template_free(locale->messages[m]);
                        for (size_t s = 0; s < TEMPLATE_N_SCHEMES; s++)
                                (void) template_free(locale->variants[s][m]);
                }
                for (size_t w = 0; w < locale->n_words; w++) {
                        free(locale->words[w].key);
                        free(locale->words[w].one);
                        free(locale->words[w].many);
                }
                free(locale->words);
        }
        free(set->locales);
        free(set);
        return NULL;
}

/* Where a text may be, and where it was found. */
typedef struct Places {
        const char *const *directories;
        size_t n;
        size_t found; /* the directory of the last file that was read */
} Places;

/* Finds the file in the first directory that has it. -ENOENT: none has. The caller frees. */
static int read_file(Places *places,
                const char *locale,
                const char *name,
                char **ret_path,
                char **ret,
                size_t *ret_size) {
        _cleanup_(closep) int fd = -1;
        _cleanup_(freep) char *path = NULL, *text = NULL;
        ssize_t size;

        for (size_t i = 0; i < places->n && fd < 0; i++) {
                places->found = i;
                free(TAKE_PTR(path));
                if (asprintf(&path, "%s/%s/%s", places->directories[i], locale, name) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
                if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
                        break;
        }
        if (fd < 0) {
                *ret_path = TAKE_PTR(path);
                return -errno;
        }
        text = malloc(FILE_SIZE_MAX + 1);
        if (!text)
                return -ENOMEM;
        size = read(fd, text, FILE_SIZE_MAX + 1);
        *ret_path = TAKE_PTR(path);
        if (size < 0)
                return -errno;
        if (size > FILE_SIZE_MAX)
                return -E2BIG;
        *ret = TAKE_PTR(text);
        *ret_size = (size_t) size;
        return 0;
}

static bool is_missing(int r) {
        return r == -ENOENT || r == -ENOTDIR;
}

/* Said of the first folder that has the language, which is the operator's if it is theirs. */
static void problem_missing(
                TemplateProblems *p, const Places *places, const char *locale, const char *name) {
        char path[512] = "";
        struct stat st;

        for (size_t i = 0; i < places->n; i++) {
                (void) snprintf(path, sizeof(path), "%s/%s", places->directories[i], locale);
                if (stat(path, &st) == 0)
                        break;
        }
        template_problem(
                        p, path, 0, "`%s` is missing; a language needs all of what `en` has", name);
}

TemplateWord *template_locale_word(const TemplateLocale *locale, const char *key) {
        for (size_t i = 0; i < locale->n_words; i++)
                if (streq(locale->words[i].key, key))
                        return &locale->words[i];
        return NULL;
}

static char *trimmed(const char *start, const char *end) {
        while (start < end && isspace((unsigned char) *start))
                start++;
        while (end > start && isspace((unsigned char) end[-1]))
                end--;
        return strndup(start, (size_t) (end - start));
}

/* Reads one `key = word | words` line. */
static int read_word(TemplateLocale *locale,
                const char *start,
                const char *end,
                const char *path,
                unsigned line,
                TemplateProblems *p) {
        const char *equals = memchr(start, '=', (size_t) (end - start)), *bar;
        _cleanup_(freep) char *key = NULL, *one = NULL, *many = NULL;
        TemplateWord *grown;

        if (!equals) {
                template_problem(p, path, line, "not of the form `key = word`");
                return 0;
        }
        bar = memchr(equals, '|', (size_t) (end - equals));
        key = trimmed(start, equals);
        one = trimmed(equals + 1, bar ? bar : end);
        many = bar ? trimmed(bar + 1, end) : NULL;
        grown = reallocarray(locale->words, locale->n_words + 1, sizeof(*grown));
        if (grown)
                locale->words = grown;
        if (!grown || !key || !one || (bar && !many))
                return -ENOMEM;
        if (template_locale_word(locale, key)) {
                template_problem(p, path, line, "this key is there twice");
                return 0;
        }
        grown[locale->n_words++] = (TemplateWord){ TAKE_PTR(key), TAKE_PTR(one), TAKE_PTR(many) };
        return 0;
}

static int count_words(const char *text) {
        int n = 0;

        for (bool in = false; *text; text++) {
                if (*text != ' ' && !in)
                        n++;
                in = *text != ' ';
        }
        return n;
}

static void lint_words(const TemplateLocale *locale, const char *path, TemplateProblems *p) {
        for (size_t i = 0; i < N_ELEMENTS(words_required); i++) {
                const char *key = words_required[i].key, *hole = words_required[i].hole;
                const TemplateWord *word = template_locale_word(locale, key);

                if (!word || !word->one[0])
                        template_problem(p, path, 1, "the word `%s` is missing", key);
                else if (words_required[i].plural != (word->many != NULL))
                        template_problem(p,
                                        path,
                                        1,
                                        "`%s` needs %s",
                                        key,
                                        word->many ? "one form only" : "two forms, with | between");
                else if (words_required[i].words &&
                                count_words(word->one) != words_required[i].words)
                        template_problem(p,
                                        path,
                                        1,
                                        "`%s` needs %d words",
                                        key,
                                        words_required[i].words);
                else if (hole && (!strstr(word->one, hole) ||
                                                 (word->many && !strstr(word->many, hole))))
                        template_problem(p, path, 1, "`%s` needs %s", key, hole);
        }
}

static int load_words(TemplateLocale *locale, Places *places, TemplateProblems *p) {
        _cleanup_(freep) char *path = NULL, *text = NULL;
        size_t size = 0;
        unsigned line = 0;
        int r;

        r = read_file(places, locale->name, "words", &path, &text, &size);
        if (r == -ENOMEM)
                return r;
        if (is_missing(r)) {
                problem_missing(p, places, locale->name, "words");
                return 0;
        }
        if (r < 0) {
                template_problem(p, path, 0, "%s", strerror(-r));
                return 0;
        }
        if (!text_is_utf8(text, size) || memchr(text, 0, size)) {
                template_problem(p, path, 1, "the text is not UTF-8");
                return 0;
        }
        for (const char *s = text, *stop; s < text + size; s = stop + 1) {
                stop = memchr(s, '\n', (size_t) (text + size - s));
                if (!stop)
                        stop = text + size;
                line++;
                if (stop == s)
                        continue;
                r = read_word(locale, s, stop, path, line, p);
                if (r < 0)
                        return r;
        }
        lint_words(locale, path, p);
        return 0;
}

/* scheme is NULL, or that of a variant, which need not exist. */
static int load_message(const TemplateLocale *locale,
                TemplateMessage message,
                const char *scheme,
                Places *places,
                TemplateProblems *p,
                Template **ret) {
        _cleanup_(freep) char *path = NULL, *text = NULL;
        _cleanup_(template_freep) Template *template = NULL;
        TemplateCutter cutter = {
                .message = message, .variant = scheme != NULL, .problems = p, .line = 1
        };
        char name[64];
        size_t size = 0;
        int r;

        (void) snprintf(name,
                        sizeof(name),
                        "%s%s%s",
                        template_rules[message].name,
                        scheme ? "." : "",
                        scheme ? scheme : "");
        r = read_file(places, locale->name, name, &path, &text, &size);
        if (r == -ENOMEM)
                return r;
        if (is_missing(r)) {
                if (!scheme)
                        problem_missing(p, places, locale->name, name);
                return 0;
        }
        if (r < 0) {
                template_problem(p, path, 0, "%s", strerror(-r));
                return 0;
        }
        template = calloc(1, sizeof(*template));
        if (!template)
                return -ENOMEM;
        cutter.path = path;
        r = template_cut(&cutter, text, text + size, template);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(template);
        return 0;
}

/* A text and its variants: those that the one who wrote the text could know. */
static int load_texts(TemplateLocale *locale,
                TemplateMessage message,
                const Places *places,
                TemplateProblems *p) {
        Places all = *places;
        int r;

        r = load_message(locale, message, NULL, &all, p, &locale->messages[message]);
        all.n = all.found + 1;
        for (size_t i = 0; r == 0 && i < TEMPLATE_N_SCHEMES; i++)
                r = load_message(locale,
                                message,
                                template_schemes[i],
                                &all,
                                p,
                                &locale->variants[i][message]);
        return r;
}

static bool locale_name_is_valid(const char *name) {
        size_t size = strlen(name), language = strcspn(name, "-");

        return size < TEMPLATE_LOCALE_SIZE && language >= 2 && language <= 3 &&
               strspn(name, "abcdefghijklmnopqrstuvwxyz") >= language &&
               strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") ==
                               size;
}

TemplateLocale *template_set_locale(const TemplateSet *set, const char *name) {
        for (size_t i = 0; i < set->n_locales; i++)
                if (strcasecmp(set->locales[i].name, name) == 0)
                        return &set->locales[i];
        return NULL;
}

/* Whether a file is a text that some message is, or one that an editor or dpkg has left. */
static bool is_known_file(const char *name) {
        if (name[0] == '.' || name[strlen(name) - 1] == '~' || strstr(name, ".dpkg-") ||
                        streq(name, "words"))
                return true;
        for (TemplateMessage m = 0; m < _TEMPLATE_MESSAGE_MAX; m++) {
                size_t n = strlen(template_rules[m].name);

                if (strncmp(name, template_rules[m].name, n) != 0)
                        continue;
                if (!name[n])
                        return true;
                for (size_t i = 0; name[n] == '.' && i < TEMPLATE_N_SCHEMES; i++)
                        if (streq(name + n + 1, template_schemes[i]))
                                return true;
        }
        return false;
}

/* A file's name within a problem, or nothing where it could harm the one who reads it. */
static const char *shown(const char *name) {
        for (const char *c = name; *c; c++)
                if ((unsigned char) *c <= ' ' || (unsigned char) *c >= 0x7f)
                        return "";
        return name;
}

/* A text under a name that no message has would never be sent. */
static int lint_names(const char *directory, const char *locale, TemplateProblems *p) {
        char path[512];
        DIR *dir;

        (void) snprintf(path, sizeof(path), "%s/%s", directory, locale);
        dir = opendir(path);
        if (!dir)
                return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
        for (struct dirent *entry; (entry = readdir(dir));) {
                if (!is_known_file(entry->d_name))
                        template_problem(p,
                                        path,
                                        0,
                                        "there is no message `%s`",
                                        shown(entry->d_name));
        }
        (void) closedir(dir);
        return 0;
}

/* Adds the names of the folders in a directory. */
static int find_locales(TemplateSet *set, const char *directory, TemplateProblems *p) {
        DIR *dir = opendir(directory);
        int r = 0;

        if (!dir)
                return errno == ENOENT ? 0 : -errno;
        for (struct dirent *entry; r == 0 && (entry = readdir(dir));) {
                TemplateLocale *grown;
                struct stat st;

                if (fstatat(dirfd(dir), entry->d_name, &st, 0) < 0 || !S_ISDIR(st.st_mode))
                        continue;
                if (!locale_name_is_valid(entry->d_name)) {
                        if (isalpha((unsigned char) entry->d_name[0]))
                                template_problem(p,
                                                directory,
                                                0,
                                                "the folder `%s` is not named as a language is, "
                                                "such as `en` or `pt-BR`",
                                                shown(entry->d_name));
                        continue;
                }
                r = lint_names(directory, entry->d_name, p);
                if (r < 0 || template_set_locale(set, entry->d_name))
                        continue;
                grown = reallocarray(set->locales, set->n_locales + 1, sizeof(*grown));
                if (!grown) {
                        r = -ENOMEM;
                        continue;
                }
                set->locales = grown;
                grown[set->n_locales] = (TemplateLocale){ 0 };
                memcpy(grown[set->n_locales++].name, entry->d_name, strlen(entry->d_name) + 1);
        }
        (void) closedir(dir);
        return r;
}

static int by_name(const void *a, const void *b) {
        return strcmp(((const TemplateLocale *) a)->name, ((const TemplateLocale *) b)->name);
}

int template_set_load(const char *const *directories,
                size_t n_directories,
                TemplateSet **ret,
                char **ret_problems) {
        _cleanup_(template_set_freep) TemplateSet *set = NULL;
        _cleanup_(template_problems_done) TemplateProblems problems = { 0 };
        Places places = { directories, n_directories, 0 };
        int r;

        r = template_problems_open(&problems);
        if (r < 0)
                return r;
        set = calloc(1, sizeof(*set));
        if (!set)
                return -ENOMEM;
        for (size_t i = 0; i < n_directories; i++) {
                r = find_locales(set, directories[i], &problems);
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        template_problem(&problems, directories[i], 0, "%s", strerror(-r));
        }
        if (set->n_locales > 0)
                qsort(set->locales, set->n_locales, sizeof(*set->locales), by_name);
        if (!template_set_locale(set, "en"))
                template_problem(&problems,
                                n_directories > 0 ? directories[n_directories - 1] : "templates",
                                0,
                                "there is no folder `en`");
        for (size_t i = 0; i < set->n_locales; i++) {
                r = load_words(&set->locales[i], &places, &problems);
                for (TemplateMessage m = 0; r == 0 && m < _TEMPLATE_MESSAGE_MAX; m++)
                        r = load_texts(&set->locales[i], m, &places, &problems);
                if (r < 0)
                        return r;
        }
        if (problems.any) {
                *ret_problems = template_problems_take(&problems);
                return *ret_problems ? TEMPLATE_E_INVALID : -ENOMEM;
        }
        *ret = TAKE_PTR(set);
        return 0;
}
