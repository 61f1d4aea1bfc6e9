<?php

/** New clients as vTiger's own records. */

declare(strict_types=1);

namespace PinCalls\Vtiger;

use PinCalls\Identity\ClientMaker;

final class ClientEntities implements ClientMaker
{
    public function make(string $module, string $name, string $number, string $did, int $owner): int
    {
        $client = \Vtiger_Record_Model::getCleanInstance($module);
        $client->set($module === 'Accounts' ? 'accountname' : 'lastname', mb_substr($name, 0, 80));
        $client->set('phone', $number);
        $client->set('description', $did === '' ? '' : vtranslate('DID', 'Calls') . ': ' . $did);
        $client->set('assigned_user_id', $owner);
        $client->set('source', 'PBX');
        $client->save();
        if ((int) $client->getId() === 0) {
            throw new \RuntimeException('vTiger made no record and did not say why');
        }
        return (int) $client->getId();
    }
}
