use rpcnet::rpc_trait;

pub struct User {
    pub id: u64,
}

#[rpc_trait]
pub trait Profiles {
    #[rpc(key = user)]
    async fn get(&self, user: User, fields: Vec<String>) -> rpcnet::Result<String>;
}

fn main() {}
