<?php

/** Where new clients are made: in vTiger its entities (Vtiger\ClientEntities), so that every event and workflow fires. */

declare(strict_types=1);

namespace PinCalls\Identity;

interface ClientMaker
{
    /**
     * @param string $module one of ClientFinder::MODULES
     * @param int $owner user or group
     * @return int the new record's id
     */
    public function make(string $module, string $name, string $number, string $did, int $owner): int;
}
