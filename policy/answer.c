/* Understanding what people write. The text is folded (NFKC and case folding), then cut into pieces
 * of letters and digits with the kind of gap between them; words, tags and codes are looked for
 * among the pieces, never in the raw text. All work is linear in the text. */
#include "answer.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

#include "cleanup.h"

enum {
        PIECES_MAX = 2048,
        SYMBOLS_MAX = 65536, /* of a folded text: a code point becomes at most 18 */
        PHRASE_SIZE = 64,
};

typedef enum Gap {
        GAP_DASH,  /* dashes, dots, quotes */
        GAP_SPACE, /* also spaces */
        GAP_BREAK, /* anything else */
} Gap;

/* A run of letters, marks and digits. */
typedef struct Piece {
        uint32_t start, length; /* in the folded text */
        Gap gap;                /* before it */
        bool attached;          /* one of + / @ = & stands next to it */
        bool ascii;
        bool digits;    /* nothing but digits */
        bool has_digit; /* one at least */
} Piece;

typedef struct Reading {
        uint32_t *text; /* folded; digits of any script are ASCII */
        size_t length;
        size_t n_pieces;
        bool symbols; /* emoji or other signs, outside the pieces */
        Piece pieces[PIECES_MAX];
} Reading;

static Reading *reading_free(Reading *reading) {
        if (!reading)
                return NULL;
        if (reading->text)
                sodium_memzero(reading->text, reading->length * sizeof(uint32_t));
        free(reading->text);
        free(reading);
        return NULL;
}
DEFINE_CLEANUP(Reading, reading_free)

typedef struct Word {
        const char *text; /* folded, without accents, pieces joined by one space */
        AnswerKind kind;
} Word;

/* STOP holds the keywords of 47 CFR 64.1200(a)(10). "Got it" and "received" are not among DONE,
 * which ends the link's life: people say them when they see the link, before they open it. "Not for
 * me" is not among NOT ME, which warns the sender: it may be a NO.
 *
 * Words are written here without accents, which are left out of what is read as well; only where a
 * language has another spelling without them (oe for an o with two dots) it comes in both. */
static const Word english[] = {
        { "yes", ANSWER_YES },
        { "y", ANSWER_YES },
        { "yep", ANSWER_YES },
        { "yes please", ANSWER_YES },
        { "ok", ANSWER_YES },
        { "okay", ANSWER_YES },
        { "no", ANSWER_NO },
        { "n", ANSWER_NO },
        { "nope", ANSWER_NO },
        { "no thanks", ANSWER_NO },
        { "no thank you", ANSWER_NO },
        { "decline", ANSWER_NO },
        { "not me", ANSWER_NOT_ME },
        { "notme", ANSWER_NOT_ME },
        { "its not me", ANSWER_NOT_ME },
        { "it is not me", ANSWER_NOT_ME },
        { "thats not me", ANSWER_NOT_ME },
        { "that is not me", ANSWER_NOT_ME },
        { "this is not me", ANSWER_NOT_ME },
        { "wrong number", ANSWER_NOT_ME },
        { "wrong person", ANSWER_NOT_ME },
        { "wrong address", ANSWER_NOT_ME },
        { "stop", ANSWER_STOP },
        { "unsubscribe", ANSWER_STOP },
        { "cancel", ANSWER_STOP },
        { "end", ANSWER_STOP },
        { "quit", ANSWER_STOP },
        { "revoke", ANSWER_STOP },
        { "optout", ANSWER_STOP },
        { "opt out", ANSWER_STOP },
        { "stopall", ANSWER_STOP_ALL },
        { "stop all", ANSWER_STOP_ALL },
        { "stop everything", ANSWER_STOP_ALL },
        { "stop everybody", ANSWER_STOP_ALL },
        { "stop everyone", ANSWER_STOP_ALL },
        { "unsubscribe all", ANSWER_STOP_ALL },
        { "help", ANSWER_HELP },
        { "help me", ANSWER_HELP },
        { "info", ANSWER_HELP },
        { "ready", ANSWER_READY },
        { "im ready", ANSWER_READY },
        { "i am ready", ANSWER_READY },
        { "done", ANSWER_DONE },
        { "all done", ANSWER_DONE },
        { "it worked", ANSWER_DONE },
        { "taken", ANSWER_TAKEN },
        { "already taken", ANSWER_TAKEN },
        { "already opened", ANSWER_TAKEN },
        { "claimed", ANSWER_TAKEN },
};

static const Word german[] = {
        { "ja", ANSWER_YES },
        { "j", ANSWER_YES },
        { "jo", ANSWER_YES },
        { "jawohl", ANSWER_YES },
        { "ja bitte", ANSWER_YES },
        { "ja gern", ANSWER_YES },
        { "ja gerne", ANSWER_YES },
        { "nein", ANSWER_NO },
        { "nee", ANSWER_NO },
        { "ne", ANSWER_NO },
        { "nein danke", ANSWER_NO },
        { "ablehnen", ANSWER_NO },
        { "ich lehne ab", ANSWER_NO },
        { "nicht ich", ANSWER_NOT_ME },
        { "bin ich nicht", ANSWER_NOT_ME },
        { "bin nicht ich", ANSWER_NOT_ME },
        { "das bin ich nicht", ANSWER_NOT_ME },
        { "das bin nicht ich", ANSWER_NOT_ME },
        { "ich bin das nicht", ANSWER_NOT_ME },
        { "ich bin es nicht", ANSWER_NOT_ME },
        { "falsche nummer", ANSWER_NOT_ME },
        { "falsche person", ANSWER_NOT_ME },
        { "falsche adresse", ANSWER_NOT_ME },
        { "falscher empfanger", ANSWER_NOT_ME },
        { "falscher empfaenger", ANSWER_NOT_ME },
        { "stopp", ANSWER_STOP },
        { "abmelden", ANSWER_STOP },
        { "abbestellen", ANSWER_STOP },
        { "austragen", ANSWER_STOP },
        { "beenden", ANSWER_STOP },
        { "ende", ANSWER_STOP },
        { "stop alle", ANSWER_STOP_ALL },
        { "stopp alle", ANSWER_STOP_ALL },
        { "stop alles", ANSWER_STOP_ALL },
        { "stopp alles", ANSWER_STOP_ALL },
        { "stop allen", ANSWER_STOP_ALL },
        { "stopp allen", ANSWER_STOP_ALL },
        { "alle stoppen", ANSWER_STOP_ALL },
        { "alle abmelden", ANSWER_STOP_ALL },
        { "alles abbestellen", ANSWER_STOP_ALL },
        { "alle abbestellen", ANSWER_STOP_ALL },
        { "hilfe", ANSWER_HELP },
        { "hilf mir", ANSWER_HELP },
        { "bereit", ANSWER_READY },
        { "bin bereit", ANSWER_READY },
        { "ich bin bereit", ANSWER_READY },
        { "fertig", ANSWER_DONE },
        { "bin fertig", ANSWER_DONE },
        { "ich bin fertig", ANSWER_DONE },
        { "erledigt", ANSWER_DONE },
        { "hat geklappt", ANSWER_DONE },
        { "es hat geklappt", ANSWER_DONE },
        { "hat funktioniert", ANSWER_DONE },
        { "vergeben", ANSWER_TAKEN },
        { "schon vergeben", ANSWER_TAKEN },
        { "bereits vergeben", ANSWER_TAKEN },
        { "schon geoeffnet", ANSWER_TAKEN },
        { "schon geoffnet", ANSWER_TAKEN },
        { "bereits geoeffnet", ANSWER_TAKEN },
        { "bereits geoffnet", ANSWER_TAKEN },
};

static const Word french[] = {
        { "oui", ANSWER_YES },
        { "oui merci", ANSWER_YES },
        { "daccord", ANSWER_YES },
        { "bien sur", ANSWER_YES },
        { "volontiers", ANSWER_YES },
        { "avec plaisir", ANSWER_YES },
        { "non", ANSWER_NO },
        { "non merci", ANSWER_NO },
        { "refuser", ANSWER_NO },
        { "je refuse", ANSWER_NO },
        { "pas moi", ANSWER_NOT_ME },
        { "cest pas moi", ANSWER_NOT_ME },
        { "ce nest pas moi", ANSWER_NOT_ME },
        { "ce nest pas moi du tout", ANSWER_NOT_ME },
        { "mauvais numero", ANSWER_NOT_ME },
        { "erreur de numero", ANSWER_NOT_ME },
        { "faux numero", ANSWER_NOT_ME },
        { "mauvaise personne", ANSWER_NOT_ME },
        { "erreur de personne", ANSWER_NOT_ME },
        { "mauvais destinataire", ANSWER_NOT_ME },
        { "erreur de destinataire", ANSWER_NOT_ME },
        { "mauvaise adresse", ANSWER_NOT_ME },
        { "arret", ANSWER_STOP },
        { "arreter", ANSWER_STOP },
        { "arretez", ANSWER_STOP },
        { "desabonner", ANSWER_STOP },
        { "se desabonner", ANSWER_STOP },
        { "me desabonner", ANSWER_STOP },
        { "desabonnez moi", ANSWER_STOP },
        { "desabonnement", ANSWER_STOP },
        { "desinscrire", ANSWER_STOP },
        { "me desinscrire", ANSWER_STOP },
        { "desinscription", ANSWER_STOP },
        { "fin", ANSWER_STOP },
        { "stop tout", ANSWER_STOP_ALL },
        { "stop tous", ANSWER_STOP_ALL },
        { "stop toutes", ANSWER_STOP_ALL },
        { "stop a tout", ANSWER_STOP_ALL },
        { "stop a tous", ANSWER_STOP_ALL },
        { "arret total", ANSWER_STOP_ALL },
        { "tout arreter", ANSWER_STOP_ALL },
        { "arretez tout", ANSWER_STOP_ALL },
        { "arreter tout", ANSWER_STOP_ALL },
        { "aide", ANSWER_HELP },
        { "a laide", ANSWER_HELP },
        { "aidez moi", ANSWER_HELP },
        { "besoin daide", ANSWER_HELP },
        { "pret", ANSWER_READY },
        { "prete", ANSWER_READY },
        { "je suis pret", ANSWER_READY },
        { "je suis prete", ANSWER_READY },
        { "fait", ANSWER_DONE },
        { "cest fait", ANSWER_DONE },
        { "termine", ANSWER_DONE },
        { "cest termine", ANSWER_DONE },
        { "fini", ANSWER_DONE },
        { "cest fini", ANSWER_DONE },
        { "ca a marche", ANSWER_DONE },
        { "pris", ANSWER_TAKEN },
        { "deja pris", ANSWER_TAKEN },
        { "deja prise", ANSWER_TAKEN },
        { "deja ouvert", ANSWER_TAKEN },
        { "deja ouverte", ANSWER_TAKEN },
        { "deja utilise", ANSWER_TAKEN },
        { "deja utilisee", ANSWER_TAKEN },
};

static const Word spanish[] = {
        { "si", ANSWER_YES },
        { "si gracias", ANSWER_YES },
        { "claro", ANSWER_YES },
        { "vale", ANSWER_YES },
        { "de acuerdo", ANSWER_YES },
        { "no gracias", ANSWER_NO },
        { "rechazar", ANSWER_NO },
        { "no lo quiero", ANSWER_NO },
        { "no la quiero", ANSWER_NO },
        { "no soy yo", ANSWER_NOT_ME },
        { "yo no", ANSWER_NOT_ME },
        { "yo no soy", ANSWER_NOT_ME },
        { "ese no soy yo", ANSWER_NOT_ME },
        { "esa no soy yo", ANSWER_NOT_ME },
        { "numero equivocado", ANSWER_NOT_ME },
        { "persona equivocada", ANSWER_NOT_ME },
        { "direccion equivocada", ANSWER_NOT_ME },
        { "destinatario equivocado", ANSWER_NOT_ME },
        { "alto", ANSWER_STOP },
        { "baja", ANSWER_STOP },
        { "darse de baja", ANSWER_STOP },
        { "darme de baja", ANSWER_STOP },
        { "dar de baja", ANSWER_STOP },
        { "parar", ANSWER_STOP },
        { "pare", ANSWER_STOP },
        { "detener", ANSWER_STOP },
        { "cancelar", ANSWER_STOP },
        { "salir", ANSWER_STOP },
        { "baja todo", ANSWER_STOP_ALL },
        { "baja todos", ANSWER_STOP_ALL },
        { "baja total", ANSWER_STOP_ALL },
        { "baja de todo", ANSWER_STOP_ALL },
        { "baja de todos", ANSWER_STOP_ALL },
        { "stop todo", ANSWER_STOP_ALL },
        { "stop todos", ANSWER_STOP_ALL },
        { "parar todo", ANSWER_STOP_ALL },
        { "alto a todo", ANSWER_STOP_ALL },
        { "cancelar todo", ANSWER_STOP_ALL },
        { "ayuda", ANSWER_HELP },
        { "ayudame", ANSWER_HELP },
        { "necesito ayuda", ANSWER_HELP },
        { "informacion", ANSWER_HELP },
        { "listo", ANSWER_READY },
        { "lista", ANSWER_READY },
        { "estoy listo", ANSWER_READY },
        { "estoy lista", ANSWER_READY },
        { "ya estoy listo", ANSWER_READY },
        { "ya estoy lista", ANSWER_READY },
        { "hecho", ANSWER_DONE },
        { "ya esta hecho", ANSWER_DONE },
        { "terminado", ANSWER_DONE },
        { "ha funcionado", ANSWER_DONE },
        { "funciono", ANSWER_DONE },
        { "usado", ANSWER_TAKEN },
        { "ya usado", ANSWER_TAKEN },
        { "ya usada", ANSWER_TAKEN },
        { "ya utilizado", ANSWER_TAKEN },
        { "ya utilizada", ANSWER_TAKEN },
        { "ya abierto", ANSWER_TAKEN },
        { "ya abierta", ANSWER_TAKEN },
};

/* What people put behind a word out of courtesy, what ends with another one before that. In front
 * of a word it makes a sentence. */
static const char *const courtesies[] = { "please",
        "many thanks",
        "thanks",
        "thank you very much",
        "thank you",
        "thx",
        "bitte",
        "danke",
        "dankeschon",
        "danke schon",
        "danke schoen",
        "besten dank",
        "vielen dank",
        "merci",
        "merci beaucoup",
        "merci bien",
        "sil vous plait",
        "sil te plait",
        "svp",
        "stp",
        "muchas gracias",
        "mil gracias",
        "gracias",
        "por favor" };

static const struct {
        const char *language;
        const Word *words;
        size_t n;
} languages[] = {
        { "en", english, N_ELEMENTS(english) },
        { "de", german, N_ELEMENTS(german) },
        { "fr", french, N_ELEMENTS(french) },
        { "es", spanish, N_ELEMENTS(spanish) },
};

static bool is_apostrophe(ucs4_t c) {
        return c == '\'' || c == '`' || c == 0x2018 || c == 0x2019 || c == 0x02bc;
}

static bool is_letter(ucs4_t c) {
        return uc_is_general_category_withtable(c, UC_CATEGORY_MASK_L | UC_CATEGORY_MASK_M);
}

static bool is_piece_symbol(ucs4_t c) {
        return is_letter(c) || uc_is_general_category_withtable(c, UC_CATEGORY_MASK_N);
}

/* Enclosing marks make keycaps of digits; a lone mark is left over from an accent that stood alone.
 */
static bool is_dropped(const Reading *reading, size_t i) {
        ucs4_t c = reading->text[i];

        if (uc_is_property_default_ignorable_code_point(c) ||
                        uc_is_general_category_withtable(c, UC_CATEGORY_MASK_Me))
                return true;
        if (uc_is_general_category_withtable(c, UC_CATEGORY_MASK_Mn))
                return i == 0 || !is_letter(reading->text[i - 1]);
        return is_apostrophe(c) && i > 0 && i + 1 < reading->length &&
               is_letter(reading->text[i - 1]) && is_letter(reading->text[i + 1]);
}

static Gap gap_of(ucs4_t c) {
        if (c == '.' || c == '"' || c == 0x2212 || c == 0x201a || c == 0x201e || c == 0x2032 ||
                        c == 0x2033 || is_apostrophe(c) ||
                        uc_is_general_category_withtable(c,
                                        UC_CATEGORY_MASK_Pd | UC_CATEGORY_MASK_Pi |
                                                        UC_CATEGORY_MASK_Pf))
                return GAP_DASH;
        if (uc_is_general_category_withtable(c, UC_CATEGORY_MASK_Z | UC_CATEGORY_MASK_Cc))
                return GAP_SPACE;
        return GAP_BREAK;
}

static bool attaches(ucs4_t c) {
        return c < 0x80 && c != 0 && strchr("+/@=&", (int) c);
}

static void add_symbol(Piece *piece, ucs4_t c) {
        bool digit = c >= '0' && c <= '9';

        piece->length++;
        piece->ascii &= digit || (c >= 'a' && c <= 'z');
        piece->digits &= digit;
        piece->has_digit |= digit;
}

/* Cuts the folded text into pieces, squeezing out what is dropped, so that a piece is contiguous.
 */
static bool cut(Reading *reading) {
        Piece *piece = NULL; /* while inside one */
        Gap gap = GAP_DASH;
        bool attached = false;
        size_t kept = 0;

        for (size_t i = 0; i < reading->length; i++) {
                ucs4_t c = reading->text[i];
                int digit = uc_decimal_value(c);

                if (is_dropped(reading, i))
                        continue;
                if (!is_piece_symbol(c)) {
                        Gap kind = gap_of(c);

                        attached = attaches(c);
                        if (piece)
                                piece->attached |= attached;
                        gap = !piece && gap > kind ? gap : kind;
                        piece = NULL;
                        reading->symbols |= uc_is_general_category_withtable(
                                        c, UC_CATEGORY_MASK_S | UC_CATEGORY_MASK_Co);
                        continue;
                }
                if (!piece) {
                        if (reading->n_pieces == PIECES_MAX)
                                return false;
                        piece = &reading->pieces[reading->n_pieces++];
                        *piece = (Piece){ .start = (uint32_t) kept,
                                .gap = gap,
                                .attached = attached,
                                .ascii = true,
                                .digits = true };
                        gap = GAP_DASH;
                        attached = false;
                }
                /* kept never passes i, and is_dropped() looks back at letters only, which stay as
                 * they are: what it reads may have moved, but not changed. */
                c = digit >= 0 ? (ucs4_t) ('0' + digit) : c;
                reading->text[kept++] = c;
                add_symbol(piece, c);
        }
        return true;
}

/* The letter under its accents. */
static ucs4_t without_marks(ucs4_t c) {
        ucs4_t parts[UC_DECOMPOSITION_MAX_LENGTH];

        while (c >= 0x80 && uc_canonical_decomposition(c, parts) > 0)
                c = parts[0];
        return c;
}

/* The pieces from first on as a phrase without accents; false when it is longer than any that we
 * know. */
static bool phrase(const Reading *reading, size_t first, char ret[PHRASE_SIZE]) {
        size_t n = 0;

        for (size_t i = first; i < reading->n_pieces; i++) {
                const Piece *piece = &reading->pieces[i];

                if (i > first)
                        ret[n++] = ' ';
                for (size_t k = 0; k < piece->length; k++) {
                        ucs4_t c = without_marks(reading->text[piece->start + k]);
                        int used;

                        if (uc_is_general_category_withtable(c, UC_CATEGORY_MASK_Mn))
                                continue;
                        if (n + 8 > PHRASE_SIZE)
                                return false;
                        used = u8_uctomb((uint8_t *) ret + n, c, (ptrdiff_t) (PHRASE_SIZE - n));
                        if (used < 0)
                                return false;
                        n += (size_t) used;
                }
        }
        ret[n] = 0;
        return n > 0;
}

static AnswerKind find_word(const char *text, size_t language) {
        for (size_t i = 0; i < languages[language].n; i++)
                if (streq(languages[language].words[i].text, text))
                        return languages[language].words[i].kind;
        return ANSWER_OTHER;
}

static size_t language_of(const char *locale) {
        for (size_t i = 0; locale && i < N_ELEMENTS(languages); i++)
                if (strncasecmp(locale, languages[i].language, 2) == 0 &&
                                (locale[2] == 0 || locale[2] == '-' || locale[2] == '_'))
                        return i;
        return 0;
}

static AnswerKind find_word_anywhere(const char *text, const char *locale) {
        AnswerKind kind = find_word(text, language_of(locale));

        for (size_t i = 0; kind == ANSWER_OTHER && i < N_ELEMENTS(languages); i++)
                kind = find_word(text, i);
        return kind;
}

/* Cuts one courtesy off the end, if something is left before it. */
static bool cut_courtesy(char *text) {
        size_t size = strlen(text);

        for (size_t i = 0; i < N_ELEMENTS(courtesies); i++) {
                size_t n = strlen(courtesies[i]);

                if (size > n + 1 && text[size - n - 1] == ' ' &&
                                streq(text + size - n, courtesies[i])) {
                        text[size - n - 1] = 0;
                        return true;
                }
        }
        return false;
}

/* The word that the pieces from first on are, or ANSWER_OTHER. */
static AnswerKind read_word(const Reading *reading, size_t first, const char *locale) {
        char text[PHRASE_SIZE];
        AnswerKind kind;

        if (!phrase(reading, first, text))
                return ANSWER_OTHER;
        kind = find_word_anywhere(text, locale);
        while (kind == ANSWER_OTHER && cut_courtesy(text))
                kind = find_word_anywhere(text, locale);
        return kind;
}

static bool read_tag(const Reading *reading, char ret[TAG_SIZE]) {
        const Piece *piece = &reading->pieces[0];
        char text[TAG_SIZE];

        memset(ret, 0, TAG_SIZE);
        if (reading->n_pieces == 0 || !piece->ascii || piece->length != TAG_SIZE - 1)
                return false;
        for (size_t i = 0; i < piece->length; i++)
                text[i] = (char) reading->text[piece->start + i];
        return tag_canonical(text, piece->length, ret);
}

/* What a search has found for one format. */
typedef struct Search {
        CodeFormat format;
        unsigned n_right, n_mistyped;
        char right[CODE_SIZE], mistyped[CODE_SIZE];
} Search;

/* Takes the pieces from first to last as one stretch, if they have the form of a code. */
static void offer(Search *search, const Reading *reading, size_t first, size_t last) {
        char text[CODE_SIZE], canonical[CODE_SIZE];
        size_t n = 0;

        for (size_t i = first; i <= last; i++) {
                const Piece *piece = &reading->pieces[i];

                if (!piece->ascii || piece->attached || piece->length > sizeof(text) - n)
                        return;
                for (size_t k = 0; k < piece->length; k++)
                        text[n++] = (char) reading->text[piece->start + k];
        }

        switch (code_canonical(search->format, text, n, canonical)) {
        case 0:
                search->n_right++;
                memcpy(search->right, canonical, CODE_SIZE);
                break;
        case CODE_E_MISTYPED:
                search->n_mistyped++;
                memcpy(search->mistyped, canonical, CODE_SIZE);
                break;
        default:
                break;
        }
        sodium_memzero(text, sizeof(text));
        sodium_memzero(canonical, sizeof(canonical));
}

/* All pieces from first on are one code, in whatever groups. */
static void search_whole(Search *search, const Reading *reading, size_t first) {
        if (first >= reading->n_pieces)
                return;
        for (size_t i = first + 1; i < reading->n_pieces; i++)
                if (reading->pieces[i].gap == GAP_BREAK)
                        return;
        offer(search, reading, first, reading->n_pieces - 1);
}

/* Runs of digits: as long as they get, so that nine digits of a longer number are none. */
static void search_digits(Search *search, const Reading *reading, size_t first, Gap widest) {
        for (size_t i = first; i < reading->n_pieces;) {
                size_t last = i, n = reading->pieces[i].length;

                if (!reading->pieces[i].digits) {
                        i++;
                        continue;
                }
                while (last + 1 < reading->n_pieces && reading->pieces[last + 1].digits &&
                                reading->pieces[last + 1].gap <= widest)
                        n += reading->pieces[++last].length;
                if (n == code_length(search->format))
                        offer(search, reading, i, last);
                i = last + 1;
        }
}

static void search_symbols(Search *search, const Reading *reading, size_t first, Gap widest) {
        size_t length = code_length(search->format);

        for (size_t i = first; i < reading->n_pieces; i++) {
                const Piece *piece = &reading->pieces[i], *next = piece + 1;

                if (piece->length == length && piece->has_digit)
                        offer(search, reading, i, i);
                else if (piece->length == length / 2 && i + 1 < reading->n_pieces &&
                                next->length == length / 2 && next->gap <= widest &&
                                (piece->has_digit || next->has_digit))
                        offer(search, reading, i, i + 1);
        }
}

static bool is_empty(const Search *search) {
        return search->n_right == 0 && search->n_mistyped == 0;
}

static void search_within(Search *search, const Reading *reading, size_t first) {
        for (Gap widest = GAP_DASH; widest <= GAP_SPACE && is_empty(search); widest++) {
                if (search->format == CODE_D9)
                        search_digits(search, reading, first, widest);
                else
                        search_symbols(search, reading, first, widest);
        }
}

static bool conclude(Search *search, Answer *ret) {
        bool mistyped = search->n_right == 0 && search->n_mistyped == 1;
        bool found = search->n_right == 1 || mistyped;

        if (found) {
                ret->code[search->format].found = true;
                ret->code[search->format].mistyped = mistyped;
                memcpy(ret->code[search->format].text,
                                mistyped ? search->mistyped : search->right,
                                CODE_SIZE);
        }
        sodium_memzero(search, sizeof(*search));
        return found;
}

/* Looks for a code of every format among the pieces from first on. */
static bool read_codes(const Reading *reading, size_t first, bool whole, Answer *ret) {
        bool found = false;

        for (CodeFormat format = 0; format < CODE_FORMAT_MAX; format++) {
                Search search = { .format = format };

                if (whole)
                        search_whole(&search, reading, first);
                else
                        search_within(&search, reading, first);
                found |= conclude(&search, ret);
        }
        return found;
}

static bool is_right(const Answer *answer) {
        for (CodeFormat format = 0; format < CODE_FORMAT_MAX; format++)
                if (answer->code[format].found && !answer->code[format].mistyped)
                        return true;
        return false;
}

static void understand(const Reading *reading, const char *locale, Answer *ret) {
        char tag[TAG_SIZE];
        bool has_tag;

        if (reading->n_pieces == 0) {
                ret->kind = reading->symbols ? ANSWER_OTHER : ANSWER_EMPTY;
                return;
        }

        ret->kind = read_word(reading, 0, locale);
        if (ret->kind != ANSWER_OTHER)
                return;

        has_tag = read_tag(reading, tag);
        if (has_tag)
                ret->kind = read_word(reading, 1, locale);
        if (ret->kind == ANSWER_OTHER && read_codes(reading, 0, true, ret)) {
                ret->kind = ANSWER_CODE; /* of which a first group that looks like a tag is a part
                                          */
                return;
        }
        if (has_tag && ret->kind == ANSWER_OTHER &&
                        (read_codes(reading, 1, true, ret) || read_codes(reading, 1, false, ret)))
                ret->kind = ANSWER_CODE;
        /* "7KQ4 what is this" has two groups of four as well: only a right check symbol makes a
         * code of what could be a tag and a word. */
        if (ret->kind == ANSWER_OTHER && read_codes(reading, 0, false, ret)) {
                if (!has_tag || is_right(ret)) {
                        ret->kind = ANSWER_CODE;
                        return;
                }
                sodium_memzero(ret->code, sizeof(ret->code));
        }
        if (has_tag)
                memcpy(ret->tag, tag, TAG_SIZE);
}

int answer_read(const void *text, size_t size, const char *locale, Answer *ret) {
        _cleanup_(reading_freep) Reading *reading = NULL;
        uint8_t *folded;
        size_t folded_size = 0;

        memset(ret, 0, sizeof(*ret));
        if (size == 0)
                return 0;
        ret->kind = ANSWER_OTHER;
        if (size > ANSWER_TEXT_MAX || u8_check(text, size))
                return 0;

        reading = calloc(1, sizeof(*reading));
        if (!reading)
                return -ENOMEM;
        folded = u8_casefold(text, size, NULL, UNINORM_NFKC, NULL, &folded_size);
        if (!folded)
                return -ENOMEM;
        reading->text = u8_to_u32(folded, folded_size, NULL, &reading->length);
        sodium_memzero(folded, folded_size);
        free(folded);
        if (!reading->text)
                return -ENOMEM;

        if (reading->length <= SYMBOLS_MAX && cut(reading))
                understand(reading, locale, ret);
        return 0;
}

int answer_code(const Answer *answer, CodeFormat format, char ret[CODE_SIZE]) {
        memset(ret, 0, CODE_SIZE);
        if ((unsigned) format >= CODE_FORMAT_MAX || !answer->code[format].found)
                return ANSWER_E_NO_CODE;
        memcpy(ret, answer->code[format].text, CODE_SIZE);
        return answer->code[format].mistyped ? ANSWER_E_MISTYPED : 0;
}

void answer_done(Answer *answer) {
        sodium_memzero(answer, sizeof(*answer));
}
