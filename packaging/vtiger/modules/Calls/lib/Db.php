<?php

/**
 * The few things this module asks of a database. In vTiger it is PearDatabase (Vtiger\VtigerDb), in tests a plain connection.
 */

declare(strict_types=1);

namespace PinCalls;

interface Db
{
    /**
     * @param list<mixed> $params
     * @return list<array<string, mixed>> rows with lower-case column names, values as the database has them (never HTML-escaped)
     * @throws DbFault where the statement fails
     */
    public function rows(string $sql, array $params = []): array;

    /**
     * @param list<mixed> $params
     * @return int affected rows
     * @throws DbFault where the statement fails
     */
    public function execute(string $sql, array $params = []): int;

    /** The id the last INSERT of this connection made. */
    public function lastId(): int;
}
