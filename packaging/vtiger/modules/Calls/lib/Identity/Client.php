<?php

/** A Contact, Lead or Account as callers are told of it. */

declare(strict_types=1);

namespace PinCalls\Identity;

final class Client
{
    public int $crmId;
    public string $module;
    public string $name;
    /** Of a Contact: the Account's name. */
    public string $account = '';
    public int $accountId = 0;
    /** User or group the record is assigned to. */
    public int $ownerId;
    /** The number this client is to be shown; empty: none of his own. */
    public string $callerId = '';
    public string $modifiedAt;

    /** @return array<string, mixed> as on the wire; `user` only where the owner is a user */
    public function toWire(bool $ownerIsUser): array
    {
        $wire = ['module' => $this->module, 'id' => (string) $this->crmId, 'name' => $this->name];
        if ($this->account !== '') {
            $wire['account'] = $this->account;
        }
        if ($ownerIsUser) {
            $wire['user'] = (string) $this->ownerId;
        }
        if ($this->callerId !== '') {
            $wire['caller_id'] = $this->callerId;
        }
        return $wire;
    }

    public function url(): string
    {
        return 'index.php?module=' . $this->module . '&view=Detail&record=' . $this->crmId;
    }
}
