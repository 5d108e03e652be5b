/* Statements that take a new store back to an older version of its schema, for tests of migrations:
 * each step undoes one entry of schema[] in gateway/store-sqlite.c. */
#pragma once

#define STORE_BACK_TO_6 "DROP TABLE audit; DROP TABLE audit_key; PRAGMA user_version = 6;"
#define STORE_BACK_TO_5 STORE_BACK_TO_6 "DROP TABLE counter; PRAGMA user_version = 5;"
#define STORE_BACK_TO_4                                                                          \
        STORE_BACK_TO_5 "ALTER TABLE share DROP COLUMN progress; ALTER TABLE share DROP COLUMN " \
                        "held;"                                                                  \
                        "ALTER TABLE share DROP COLUMN approval; PRAGMA user_version = 4;"
#define STORE_BACK_TO_3                                        \
        STORE_BACK_TO_4 "ALTER TABLE block DROP COLUMN since;" \
                        "ALTER TABLE block DROP COLUMN note; PRAGMA user_version = 3;"
#define STORE_BACK_TO_2 STORE_BACK_TO_3 "DROP TABLE event; PRAGMA user_version = 2;"
#define STORE_BACK_TO_1                                                     \
        STORE_BACK_TO_2 "DROP TABLE transfer; DROP TABLE transfer_message;" \
                        "PRAGMA user_version = 1;"
