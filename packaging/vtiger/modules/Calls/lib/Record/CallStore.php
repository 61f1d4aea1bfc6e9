<?php

/** Where calls are kept: in vTiger its entities (Vtiger\EntityStore), so that every event, workflow and history fires. */

declare(strict_types=1);

namespace PinCalls\Record;

interface CallStore
{
    /**
     * @param array<string, string|int> $fields by vTiger field name
     * @return int the new record's id
     */
    public function create(array $fields): int;

    /**
     * @param array<string, string|int> $fields only what differs is written
     * @return bool false if the record was deleted meanwhile, by whom whatever: it is not brought back
     */
    public function update(int $crmId, array $fields): bool;

    /** Into the recycle bin, as if somebody had deleted it. */
    public function remove(int $crmId): void;

    /** @return array<string, string>|null what is stored, by field name; null: no such record (any more) */
    public function stored(int $crmId): ?array;
}
